// Apart from the other checks of a file, because it alone needs a crypto library, which takes long to load.
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/digest.h"
#include "core/base/fs.h"
#include "core/plugin/file_checks.h"

namespace dagger::plugin {

void check_sha256(int fd, const std::string& expected) {
  Sha256 hash;
  std::array<char, 64UL * 1024> buffer;
  off_t at = 0;
  for (ssize_t n = 0; (n = ::pread(fd, buffer.data(), buffer.size(), at)) != 0; at += n) {
    if (n < 0) throw_errno("cannot be read");
    hash.update(buffer.data(), static_cast<std::size_t>(n));
  }
  std::string wanted = expected;
  std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (const auto found = hash.finish().hex(); found != wanted)
    throw Error(Code::corrupt_data, "has sha256 " + found + ", the configuration expects " + wanted +
                                        "; install the expected file, or correct sha256 if you trust this one");
}

}  // namespace dagger::plugin
