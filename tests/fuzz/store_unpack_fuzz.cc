// Hostile layer tars: nothing but dagger::Error may leave, and nothing outside the layer may change. Needs root; works
// in /dev/shm.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"
#include "core/store/unpack/unpack.h"
#include "tests/support/fake_host.h"

namespace {

using namespace dagger;

class Bytes final : public plugin::ByteStream {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const std::size_t n = std::min(size, size_);
    std::memcpy(buffer, data_, n);
    data_ += n;
    size_ -= n;
    return n;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

// A fuzzer cannot guess checksums: wherever a header would be, make the sum right.
std::string with_checksums(const std::uint8_t* data, std::size_t size) {
  std::string tar(reinterpret_cast<const char*>(data), size);
  for (std::size_t at = 0; at + 512 <= tar.size(); at += 512) {
    unsigned sum = 8 * ' ';
    for (std::size_t i = 0; i < 512; ++i)
      if (i < 148 || i >= 156) sum += static_cast<unsigned char>(tar[at + i]);
    if (sum == 8 * ' ') continue;
    char text[8];
    std::snprintf(text, sizeof text, "%06o", sum);
    std::memcpy(tar.data() + at + 148, text, 8);
  }
  return tar;
}

void check_outside(const std::string& top) {
  const auto dir = open_file(top, O_RDONLY | O_DIRECTORY);
  const auto names = store::sorted_names(dir.get());
  if (names.size() != 2 || read_file(top + "/outside") != "as it was") std::abort();
}

void run(plugin::ByteStream& stream) {
  const TempDir top("/dev/shm", "unpack-fuzz-");
  make_dirs(top.path() + "/layer");
  write_file_atomically(top.path() + "/outside", "as it was");
  const auto root = open_file(top.path() + "/layer", O_RDONLY | O_DIRECTORY);
  testing::FakeContext ctx;
  try {
    store::unpack(stream, root.get(), {"", "", store::trusted_overlay, {.entries = 1000, .bytes = 8 << 20}}, ctx);
  } catch (const Error&) {
  }
  check_outside(top.path());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 && (data[0] & 1) != 0) {
    const std::string tar = with_checksums(data + 1, size - 1);
    Bytes stream(reinterpret_cast<const std::uint8_t*>(tar.data()), tar.size());
    run(stream);
  } else if (size > 1) {
    Bytes stream(data + 1, size - 1);
    run(stream);
  }
  return 0;
}
