// plugins/common/base/sha256.h — SHA-256 for plugins that must verify what the host never sees.
//
// Values and one incremental hasher, used from one thread at a time. Throws Error{internal} when OpenSSL cannot start.
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace dagger::plugin_base {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(std::string_view data);
  std::string finish();  // 64 lower-case hex digits; once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view data);
std::string sha256_digest(std::string_view data);  // "sha256:" + hex

// "sha256:" and 64 lower-case hex digits, nothing else: safe as a part of a path or URL.
bool is_sha256_digest(std::string_view text) noexcept;

}  // namespace dagger::plugin_base
