// core/link/frame.h — the unit of the wire: a 16 byte header and a payload. Pure: no I/O, no threads.
//
//   type u8 | flags u8 | reserved u16 = 0 | length u32 | channel u64        all big endian, then length bytes of
//   payload
//
// What each type means is said in docs/link.md. Errors: Error{corrupt_data} for bytes that are no frame; the reader is
// of no use afterwards.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace dagger::link {

using ChannelId = std::uint64_t;

enum class Type : std::uint8_t {
  call = 1,  // opens a channel: method, first part of the request
  open,      // opens a stream: the same
  notify,    // channel 0: method, first part of the message
  more,      // the next part of the request, reply, error or notification
  reply,     // ends a call: first part of the result
  error,     // ends a call or a stream
  cancel,    // the caller no longer wants the result: why
  data,      // bytes of a stream
  finish,    // no more bytes of a stream from this side
  credit,    // the other side may send so many more bytes: u32
  ping,      // channel 0, empty: this side is alive
  close,     // channel 0: this side ends the link: why (empty: orderly)
};

inline constexpr std::size_t header_size = 16;
inline constexpr std::uint8_t flag_more = 1;              // parts of this message follow
inline constexpr std::size_t sent_payload = 64 << 10;     // what this end puts in one frame at most
inline constexpr std::size_t accepted_payload = 1 << 20;  // what it takes

struct FrameHeader {
  Type type{};
  bool more = false;
  std::uint32_t length = 0;
  ChannelId channel = 0;
};

std::array<char, header_size> encode(const FrameHeader& header);
FrameHeader decode(std::string_view header);  // header_size bytes

// Cuts a byte stream into frames. Whole frames are passed on where they lie; only a frame that ends outside the bytes
// at hand is copied.
class FrameReader {
 public:
  // f(const FrameHeader&, std::string_view payload) for each frame that is complete now.
  template <class F>
  void feed(std::string_view bytes, F&& f) {
    while (!bytes.empty()) {
      if (!held_.empty() || bytes.size() < header_size) {
        if (!fill(bytes, header_size)) return;
        const FrameHeader h = decode(held_);
        if (!fill(bytes, header_size + h.length)) return;
        f(h, std::string_view(held_).substr(header_size));
        held_.clear();
        continue;
      }
      const FrameHeader h = decode(bytes.substr(0, header_size));
      if (bytes.size() - header_size < h.length) {
        held_ = bytes;
        return;
      }
      f(h, bytes.substr(header_size, h.length));
      bytes.remove_prefix(header_size + h.length);
    }
  }
  bool between_frames() const noexcept { return held_.empty(); }

 private:
  // Moves bytes to held_ until it has size bytes; false if there are not enough.
  bool fill(std::string_view& bytes, std::size_t size);
  std::string held_;
};

}  // namespace dagger::link
