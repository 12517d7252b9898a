#include "core/link/frame.h"

#include <algorithm>

#include "dagger/plugin/error.h"

namespace dagger::link {
namespace {

template <class T>
void put(char* at, T value) {
  for (std::size_t i = sizeof(T); i-- > 0; value = static_cast<T>(value >> 8)) at[i] = static_cast<char>(value & 0xff);
}

template <class T>
T get(const char* at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((value << 8) | static_cast<unsigned char>(at[i]));
  return value;
}

[[noreturn]] void bad(const std::string& why) { throw Error(Code::corrupt_data, "malformed frame: " + why); }

}  // namespace

std::array<char, header_size> encode(const FrameHeader& header) {
  std::array<char, header_size> out{};
  out[0] = static_cast<char>(header.type);
  out[1] = static_cast<char>(header.more ? flag_more : 0);
  put<std::uint32_t>(out.data() + 4, header.length);
  put<std::uint64_t>(out.data() + 8, header.channel);
  return out;
}

FrameHeader decode(std::string_view bytes) {
  FrameHeader h;
  const auto type = static_cast<std::uint8_t>(bytes[0]);
  const auto flags = static_cast<std::uint8_t>(bytes[1]);
  if (type < static_cast<std::uint8_t>(Type::call) || type > static_cast<std::uint8_t>(Type::close))
    bad("unknown type " + std::to_string(type));
  if ((flags & ~flag_more) != 0 || bytes[2] != 0 || bytes[3] != 0) bad("reserved bits are set");
  h.type = static_cast<Type>(type);
  h.more = (flags & flag_more) != 0;
  h.length = get<std::uint32_t>(bytes.data() + 4);
  h.channel = get<std::uint64_t>(bytes.data() + 8);
  if (h.length > accepted_payload) bad("a payload of " + std::to_string(h.length) + " bytes");
  return h;
}

bool FrameReader::fill(std::string_view& bytes, std::size_t size) {
  if (held_.size() < size) {
    const std::size_t n = std::min(size - held_.size(), bytes.size());
    held_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
  return held_.size() >= size;
}

}  // namespace dagger::link
