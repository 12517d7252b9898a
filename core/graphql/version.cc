#include "core/graphql/version.h"

#include <charconv>

namespace dagger::graphql {

std::optional<Version> Version::parse(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  text = text.substr(0, text.find_first_not_of("0123456789."));
  Version version;
  std::uint32_t* const parts[] = {&version.major, &version.minor, &version.patch};
  for (std::uint32_t* part : parts) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *part);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return part == parts[0] ? std::nullopt : std::optional(version);
    if (!text.starts_with('.')) return std::nullopt;
    text.remove_prefix(1);
  }
  return std::nullopt;
}

std::string Version::text() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace dagger::graphql
