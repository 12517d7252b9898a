// plugins/common/base/base64.h — base64 with padding. Pure, and without a library to link.
#pragma once
#include <string>
#include <string_view>

namespace dagger::plugin_base {

inline std::string base64(std::string_view bytes) {
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned held = 0, bits = 0;
  for (const char c : bytes) {
    held = (held << 8) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) out += letters[(held >> (bits - 6)) & 63];
  }
  if (bits > 0) out += letters[(held << (6 - bits)) & 63];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

}  // namespace dagger::plugin_base
