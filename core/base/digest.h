// core/base/digest.h — SHA-256 digests as values. Written "sha256:<64 hex digits>".
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace dagger {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  static Digest of(std::string_view data);
  static Digest parse(std::string_view text);      // "sha256:..."; throws Error{invalid_argument}
  static Digest from_bytes(std::string_view raw);  // 32 raw bytes; throws Error{corrupt_data}
  std::string str() const;                         // "sha256:..."
  std::string hex() const;
  std::string_view raw() const noexcept { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  bool zero() const noexcept { return *this == Digest{}; }
  auto operator<=>(const Digest&) const = default;
};

// Incremental hashing. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view data) { update(data.data(), data.size()); }
  void update(const void* data, std::size_t size);
  Digest finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_hex(std::string_view bytes);
// Lower-case RFC 4648 base32 without padding; used where a name must hold letters only a file system or URL allows.
std::string to_base32(std::string_view bytes);

}  // namespace dagger

template <>
struct std::hash<dagger::Digest> {
  std::size_t operator()(const dagger::Digest& d) const noexcept {
    std::size_t h;
    std::memcpy(&h, d.bytes.data(), sizeof h);
    return h;
  }
};
