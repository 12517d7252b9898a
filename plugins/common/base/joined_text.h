// plugins/common/base/joined_text.h — one text made of several while compiling, for settings schemas that share parts.
#pragma once
#include <cstddef>

namespace dagger::plugin_base {

template <std::size_t Size>
struct JoinedText {
  char bytes[Size];  // ended by NUL
};

template <std::size_t... Sizes>
constexpr auto joined(const char (&... parts)[Sizes]) {
  JoinedText<(Sizes + ...) - sizeof...(Sizes) + 1> all{};
  std::size_t at = 0;
  const auto add = [&](const char* part, std::size_t size) {
    for (std::size_t i = 0; i + 1 < size; ++i) all.bytes[at++] = part[i];
  };
  (add(parts, Sizes), ...);
  return all;
}

}  // namespace dagger::plugin_base
