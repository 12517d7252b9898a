// core/graphql/version.h — the version of a client, as @since and @until compare it: three numbers. What follows them
// ("-rc.1", "b2", "+build") does not count: a pre-release has the schema of the release it leads to.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dagger::graphql {

struct Version {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t patch = 0;
  auto operator<=>(const Version&) const = default;

  // "0.9.7", "v0.12", "0.21.0-rc.1"; nothing for what is no version ("n/a").
  static std::optional<Version> parse(std::string_view text);
  std::string text() const;
};

// since is part of the range, until is not.
struct VersionRange {
  Version since;
  Version until{UINT32_MAX, 0, 0};
  bool contains(Version v) const { return since <= v && v < until; }
  bool overlaps(const VersionRange& other) const { return since < other.until && other.since < until; }
  bool is_everything() const { return *this == VersionRange{}; }
  VersionRange within(const VersionRange& outer) const {
    return {since < outer.since ? outer.since : since, until < outer.until ? until : outer.until};
  }
  bool operator==(const VersionRange&) const = default;
};

}  // namespace dagger::graphql
