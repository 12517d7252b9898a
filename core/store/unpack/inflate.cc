#include "core/store/unpack/inflate.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "dagger/plugin/error.h"

namespace dagger::store {
namespace {

constexpr std::size_t in_size = 128 << 10, out_size = 256 << 10;
constexpr std::uint64_t most_packed = 1100;  // gzip's best is 1032
constexpr int max_window_log = 27;           // 128 MiB: what zstd itself accepts unless told otherwise

[[noreturn]] void damaged(const std::string& what) { throw Error(Code::corrupt_data, "the layer's " + what); }

class Gzip final : public Codec {
 public:
  Gzip() {
    if (::inflateInit2(&z_, MAX_WBITS + 16) != Z_OK) throw Error(Code::internal, "cannot start zlib");
  }
  ~Gzip() override { ::inflateEnd(&z_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  std::size_t step(std::string_view& in, char* out, std::size_t size) override {
    if (between_ && !start_member(in)) return 0;
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib's old signature; it only reads
    z_.avail_in = static_cast<uInt>(in.size());
    z_.next_out = reinterpret_cast<Bytef*>(out);
    z_.avail_out = static_cast<uInt>(size);
    const int result = ::inflate(&z_, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
      damaged(std::string("gzip data is damaged") + (z_.msg != nullptr ? std::string(": ") + z_.msg : ""));
    in.remove_prefix(in.size() - z_.avail_in);
    if (result == Z_STREAM_END) between_ = true;
    return size - z_.avail_out;
  }
  bool at_end() const override { return between_; }

 private:
  // Zeros behind a member are padding; anything else must be another member.
  bool start_member(std::string_view& in) {
    in.remove_prefix(std::min(in.size(), in.find_first_not_of('\0')));
    if (in.empty()) return false;
    if (in.front() != '\x1f') damaged("gzip data is followed by something else");
    ::inflateReset(&z_);
    between_ = false;
    return true;
  }
  z_stream z_{};
  bool between_ = false;
};

class Zstd final : public Codec {
 public:
  Zstd() : z_(::ZSTD_createDCtx()) {
    if (!z_) throw Error(Code::internal, "cannot start zstd");
    ::ZSTD_DCtx_setParameter(z_.get(), ZSTD_d_windowLogMax, max_window_log);
  }
  std::size_t step(std::string_view& in, char* out, std::size_t size) override {
    if (between_ && in.empty()) return 0;  // asking would begin another frame
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out, size, 0};
    const std::size_t result = ::ZSTD_decompressStream(z_.get(), &to, &from);
    if (::ZSTD_isError(result) != 0) damaged(std::string("zstd data is damaged: ") + ::ZSTD_getErrorName(result));
    in.remove_prefix(from.pos);
    between_ = result == 0;
    return to.pos;
  }
  bool at_end() const override { return between_; }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* z) const noexcept { ::ZSTD_freeDCtx(z); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> z_;
  bool between_ = false;
};

// A frame of zstd, or one that its readers skip.
bool is_zstd(std::string_view bytes) {
  if (bytes.size() < 4) return false;
  const bool skipped = (bytes[0] & 0xf0) == 0x50 && bytes.substr(1, 3) == "\x2a\x4d\x18";
  return skipped || bytes.starts_with("\x28\xb5\x2f\xfd");
}

std::unique_ptr<Codec> codec_for(std::string_view bytes) {
  if (bytes.starts_with("\x1f\x8b")) return gzip_codec();
  if (is_zstd(bytes)) return zstd_codec();
  for (const auto& [magic, name] : {std::pair{std::string_view("\xfd"
                                                               "7zXZ"),
                                              "xz"},
                                    {"BZh91AY", "bzip2"}})
    if (bytes.starts_with(magic))
      throw Error(Code::unsupported,
                  std::string("the layer is compressed with ") + name + "; push it again with gzip or zstd");
  return nullptr;
}

}  // namespace

std::unique_ptr<Codec> gzip_codec() { return std::make_unique<Gzip>(); }
std::unique_ptr<Codec> zstd_codec() { return std::make_unique<Zstd>(); }

Inflate::Inflate(plugin::ByteStream& in, plugin::CallContext& ctx, const UnpackLimits& limits, bool hash_blob)
    : in_(in), ctx_(ctx), limits_(limits), hash_blob_(hash_blob), in_buffer_(in_size) {
  while (input_.size() < 8 && fill_input()) continue;
  codec_ = codec_for(input_);
  if (codec_) out_buffer_.resize(out_size);
}

// Appends to what is left of the input: false at the end of the stream.
bool Inflate::fill_input() {
  if (ctx_.cancelled()) throw Error(Code::cancelled, "unpacking was cancelled");
  if (in_ended_) return false;
  const std::size_t left = input_.size();
  std::copy(input_.begin(), input_.end(), in_buffer_.begin());
  const std::size_t n = in_.read(in_buffer_.data() + left, in_buffer_.size() - left);
  if (hash_blob_ && n != 0) blob_hash_.update(in_buffer_.data() + left, n);
  input_ = {in_buffer_.data(), left + n};
  taken_ += n;
  in_ended_ = n == 0;
  return n != 0;
}

bool Inflate::fill_output() {
  if (!codec_) {
    if (input_.empty()) fill_input();
    output_ = std::exchange(input_, {});
  } else {
    std::size_t made = 0;
    while (made == 0) {
      const std::size_t before = input_.size();
      made = codec_->step(input_, out_buffer_.data(), out_buffer_.size());
      if (made != 0 || input_.size() != before) continue;
      if (fill_input()) continue;
      if (!codec_->at_end()) damaged("compressed data is truncated");
      break;
    }
    output_ = {out_buffer_.data(), made};
  }
  total_ += output_.size();
  check_size();
  diff_hash_.update(output_);
  return !output_.empty();
}

void Inflate::check_size() const {
  if (limits_.bytes != 0 && total_ > limits_.bytes)
    damaged("uncompressed size is more than the allowed " + std::to_string(limits_.bytes) + " bytes");
  if (total_ > limits_.unpacked && total_ / most_packed > taken_)
    damaged("compressed data is a bomb: " + std::to_string(taken_) + " bytes of it became more than " +
            std::to_string(limits_.unpacked));
}

std::string_view Inflate::read(std::size_t max) {
  if (output_.empty() && !fill_output()) return {};
  const auto out = output_.substr(0, max);
  output_.remove_prefix(out.size());
  return out;
}

void Inflate::drain() {
  do output_ = {};
  while (fill_output());
  diff_id_ = diff_hash_.finish();
}

Digest Inflate::diff_id() { return diff_id_; }
Digest Inflate::blob_digest() { return blob_hash_.finish(); }

}  // namespace dagger::store
