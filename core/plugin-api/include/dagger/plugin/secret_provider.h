// dagger/plugin/secret_provider.h — resolves a secret URI on the client's side.
//
// Loaded by the session, not by the runner: a secret is read with the client's rights, and its value travels only to
// the exec that uses it.
#pragma once
#include <memory>

#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

// What a provider can ask the person at the client. Implemented by the host.
class SecretContext : public CallContext {
 public:
  // Shows text and returns what the person typed; hidden: without echo. Empty: there is nobody to ask (CI, no
  // terminal).
  virtual std::optional<std::string> prompt(std::string_view text, bool hidden) = 0;
  // A variable of the client's environment; a provider reads it here, not by getenv, so that it sees the asking
  // client's.
  virtual std::optional<std::string> client_env(std::string_view name) = 0;
  // The directory that relative paths of the client are meant from.
  virtual std::string client_cwd() = 0;

 protected:
  ~SecretContext() = default;
};

// [thread-safe] [blocking]
class SecretProvider : public Plugin {
 public:
  static constexpr const char* kind = "secret";
  virtual std::vector<std::string> schemes() const = 0;  // "env", "file", "cmd", "vault", ...
  // The value of "scheme:rest" (rest as written, "//NAME" or "NAME"), as a sealed memfd positioned at 0: never a
  // string, so that it lands in no log and no core of a plugin's heap. Throws not_found, permission_denied,
  // unavailable. An error names the secret, never a part of its value.
  virtual UniqueFd open(std::string_view scheme, std::string_view rest, SecretContext& ctx) = 0;
};

}  // namespace dagger::plugin
