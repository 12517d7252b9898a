#include "local_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "errors.h"

namespace source_archive {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::UniqueFd;

// The innermost of the roots that the path is in; null if none.
const std::string* root_of(const std::string& path, const std::vector<std::string>& roots) {
  const std::string* best = nullptr;
  for (const auto& root : roots)
    if (path.compare(0, root.size() + 1, root + "/") == 0 && (best == nullptr || root.size() > best->size()))
      best = &root;
  return best;
}

[[noreturn]] void throw_open_error(const Reference& ref, const std::string& root) {
  const int number = errno;
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      throw Error(Code::not_found, ref.name() + ": there is no such file on the runner's machine");
    case EXDEV:
    case ELOOP:
      throw Error(Code::permission_denied, ref.name() + ": a symbolic link leads out of " + root +
                                               "; name the directory it leads to in the setting file_roots");
    case EACCES:
    case EPERM:
      throw Error(Code::permission_denied, ref.name() + ": the runner may not read it");
    case ENOSYS:
      throw Error(Code::unsupported, ref.name() + ": files need Linux 5.6 (openat2); serve it by http instead");
    default:
      throw Error(Code::unavailable, ref.name() + ": cannot be opened: " + errno_text(number));
  }
}

UniqueFd open_beneath(const Reference& ref, const std::string& root) {
  const UniqueFd dir(::open((root + "/").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) throw_open_error(ref, root);
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // a FIFO must not hold us up
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const auto relative = ref.path.substr(ref.path.find_first_not_of('/', root.size()));
  UniqueFd file(static_cast<int>(::syscall(SYS_openat2, dir.get(), relative.c_str(), &how, sizeof how)));
  if (!file) throw_open_error(ref, root);
  struct stat st{};
  if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode))
    throw Error(Code::invalid_argument, ref.name() + " is no regular file");
  return file;
}

}  // namespace

void copy_local_file(const Reference& ref, const std::vector<std::string>& roots, Spool& spool,
                     dagger::plugin::CallContext& ctx) {
  const auto* root = root_of(ref.path, roots);
  if (root == nullptr || ref.path.find_first_not_of('/', root->size()) == std::string::npos)
    throw Error(Code::permission_denied, ref.name() +
                                             " is a file of the runner's machine, in no directory that is open "
                                             "to pipelines; the operator may name one in the setting file_roots");
  const auto file = open_beneath(ref, *root);
  struct stat st{};
  ::fstat(file.get(), &st);
  std::vector<char> buffer(1 << 20);
  for (;;) {
    if (ctx.cancelled()) throw Error(Code::cancelled, ref.name() + ": cancelled");
    const auto n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read " + ref.name());
    if (n == 0) return;
    spool.write(buffer.data(), static_cast<std::size_t>(n));
    ctx.progress("read " + ref.name(), spool.size(), st.st_size);
  }
}

}  // namespace source_archive
