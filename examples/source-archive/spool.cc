#include "spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "errors.h"

namespace source_archive {

using dagger::Code;
using dagger::Error;

Spool::Spool(std::string_view dir, std::int64_t limit, std::string name)
    : limit_(limit), name_(std::move(name)), hash_(EVP_MD_CTX_new()) {
  std::string path = std::string(dir) + "/fetching-XXXXXX";
  file_.reset(::mkostemp(path.data(), O_CLOEXEC));
  if (!file_) throw_errno("make a file in " + std::string(dir));
  ::unlink(path.c_str());  // at once: whatever happens, nothing is left
  if (!hash_ || EVP_DigestInit_ex(hash_.get(), EVP_sha256(), nullptr) != 1)
    throw Error(Code::internal, "cannot compute a sha256: this libcrypto does not offer it");
}

void Spool::write(const char* data, std::size_t size) {
  if (static_cast<std::int64_t>(size) > limit_ - size_) throw_too_large();
  EVP_DigestUpdate(hash_.get(), data, size);
  size_ += static_cast<std::int64_t>(size);
  while (size > 0) {
    const auto n = ::write(file_.get(), data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("keep " + name_);
    data += n;
    size -= static_cast<std::size_t>(n);
  }
}

void Spool::throw_too_large() const {
  throw Error(Code::invalid_argument, name_ + " is larger than " + std::to_string(limit_) +
                                          " bytes; the operator may raise the setting max_download_bytes");
}

Spooled Spool::finish() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int count = 0;
  if (EVP_DigestFinal_ex(hash_.get(), bytes, &count) != 1) throw Error(Code::internal, "cannot compute a sha256");
  Spooled done;
  for (unsigned int i = 0; i < count; ++i)
    (done.sha256 += "0123456789abcdef"[bytes[i] >> 4]) += "0123456789abcdef"[bytes[i] & 15];
  if (::lseek(file_.get(), 0, SEEK_SET) != 0) throw_errno("read " + name_);
  done.file = std::move(file_);
  return done;
}

}  // namespace source_archive
