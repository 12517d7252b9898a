// A file without a name that takes what is fetched, counts it and hashes it on the way. One thread.
//
// The archive is unpacked only after its checksum is known to be right, and zip is read from its end: so it has to be
// somewhere. Errors: invalid_argument (larger than the limit), no_space, internal.
#pragma once
#include <dagger/plugin/unique_fd.h>
#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace source_archive {

struct Spooled {
  dagger::UniqueFd file;  // positioned at 0
  std::string sha256;
};

class Spool {
 public:
  // name: of the reference, for messages.
  Spool(std::string_view dir, std::int64_t limit, std::string name);
  void write(const char* data, std::size_t size);
  std::int64_t limit() const noexcept { return limit_; }
  std::int64_t size() const noexcept { return size_; }
  [[noreturn]] void throw_too_large() const;
  Spooled finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* c) const noexcept { EVP_MD_CTX_free(c); }
  };
  const std::int64_t limit_;
  const std::string name_;
  std::int64_t size_ = 0;
  dagger::UniqueFd file_;
  std::unique_ptr<EVP_MD_CTX, Free> hash_;
};

}  // namespace source_archive
