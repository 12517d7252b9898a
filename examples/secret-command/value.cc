#include "value.h"

#include <dagger/plugin/error.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace secret_command {
namespace {

using dagger::Code;
using dagger::Error;

[[noreturn]] void throw_errno(const char* doing) {
  throw Error(Code::internal, std::string("cannot ") + doing + ": " + std::generic_category().message(errno));
}

}  // namespace

Value::Value(std::int64_t limit) : limit_(limit), file_(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (!file_) throw_errno("make a memory file");
}

bool Value::take(int pipe) {
  for (;;) {
    const auto room = static_cast<std::size_t>(limit_ - size_) + 1;
    const auto n = ::splice(pipe, nullptr, file_.get(), nullptr, room, SPLICE_F_NONBLOCK);
    if (n == 0) return false;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) throw_errno("fill a memory file");
    size_ += n;
    if (size_ > limit_)
      throw Error(Code::invalid_argument, "the command prints more than " + std::to_string(limit_) +
                                              " bytes; raise the setting max_bytes, if this is the secret");
  }
}

void Value::cut_newline() {
  char last = 0;
  if (size_ == 0 || ::pread(file_.get(), &last, 1, size_ - 1) != 1 || last != '\n') return;
  if (::ftruncate(file_.get(), --size_) != 0) throw_errno("cut a memory file");
}

dagger::UniqueFd Value::seal() {
  if (::lseek(file_.get(), 0, SEEK_SET) != 0 ||
      ::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    throw_errno("seal a memory file");
  return std::move(file_);
}

}  // namespace secret_command
