// core/store/unpack/inflate.h — the uncompressed bytes of a layer, with the digests of both forms taken on the way.
//
// Plain, gzip (also of several members) and zstd (also of several frames), told by the first bytes. Errors:
// corrupt_data (damaged, truncated, trailing garbage, limit passed), cancelled, and what the stream throws. One thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.h"
#include "core/store/unpack/unpack.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store {

// Turns compressed input into output, a piece at a time.
class Codec {
 public:
  virtual ~Codec() = default;
  // Consumes from the front of in, returns the number of bytes put into out. May do only one of the two.
  virtual std::size_t step(std::string_view& in, char* out, std::size_t size) = 0;
  // Whether the input may end here.
  virtual bool at_end() const = 0;
};
std::unique_ptr<Codec> gzip_codec();
std::unique_ptr<Codec> zstd_codec();

class Inflate {
 public:
  // hash_blob: whether blob_digest() will be asked for.
  Inflate(plugin::ByteStream& in, plugin::CallContext& ctx, const UnpackLimits& limits, bool hash_blob);

  // 1 to max bytes, valid until the next call; empty only at the end.
  std::string_view read(std::size_t max);
  // Reads what is left, so that the digests are complete. Then each may be called once.
  void drain();
  Digest diff_id();
  Digest blob_digest();

 private:
  bool fill_input();
  bool fill_output();
  void check_size() const;
  plugin::ByteStream& in_;
  plugin::CallContext& ctx_;
  const UnpackLimits limits_;
  const bool hash_blob_;
  std::unique_ptr<Codec> codec_;  // none: plain
  std::vector<char> in_buffer_, out_buffer_;
  std::string_view input_, output_;      // what is left of the buffers
  std::uint64_t taken_ = 0, total_ = 0;  // bytes in, bytes out
  bool in_ended_ = false;
  Sha256 blob_hash_, diff_hash_;
  Digest diff_id_;
};

}  // namespace dagger::store
