// plugins/common/oci-registry/platform.h — platforms and which of an index's images runs on one. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::oci {

struct Platform {
  std::string os, architecture,
      variant;  // normalised: "linux", "arm", "v7"; the usual variant of a kind is spelled out
  std::string str() const { return os + "/" + architecture + (variant.empty() ? "" : "/" + variant); }
  bool operator==(const Platform&) const = default;
};

// Lower case; x86_64 -> amd64, aarch64 -> arm64, i386 -> 386, armhf -> arm/v7; arm64/v8, amd64/v1 -> no variant.
Platform normalise(Platform p);
// "os/arch[/variant]"; "" is this machine. Throws Error{invalid_argument}.
Platform parse_platform(std::string_view text);

// How well an image made for `offered` runs where `wanted` is asked for: 0 is exact, higher is worse, nullopt not at
// all. amd64/v3 takes v3, v2, v1, then 386; arm/v7 takes v7, v6, v5; arm64 falls back to 32-bit arm.
std::optional<int> distance(const Platform& wanted, const Platform& offered);

}  // namespace dagger::oci
