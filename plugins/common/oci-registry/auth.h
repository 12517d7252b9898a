// plugins/common/oci-registry/auth.h — how a registry wants to be asked: no header, Basic, or a Bearer token.
//
// Authorizer [thread-safe] remembers per host what kind it wants, and tokens per (host, scope, who asks), so that one
// client's token never serves another. Call belongs to one plugin call and its thread; it asks the client for
// credentials at most once per host. A registry's credentials go to that registry and to the token server it names.
#pragma once
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "plugins/common/oci-registry/headers.h"
#include "plugins/common/oci-registry/http.h"
#include "plugins/common/oci-registry/settings.h"

namespace dagger::oci {

class Call {
 public:
  explicit Call(plugin::CallContext& ctx) : ctx_(ctx) {}
  plugin::CallContext& ctx() const noexcept { return ctx_; }
  // What the client has for this registry. A client that is gone counts as having nothing.
  const std::optional<plugin::Credentials>& credentials(const std::string& host);
  void throw_if_cancelled() const {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "the work on an image was cancelled");
  }
  // Sleeps, but returns by throwing when cancelled.
  void wait(std::chrono::milliseconds time) const;

 private:
  plugin::CallContext& ctx_;
  std::map<std::string, std::optional<plugin::Credentials>> credentials_;
};

class Authorizer {
 public:
  explicit Authorizer(HttpClient& http) : http_(http) {}

  // The value of the Authorization header that this endpoint is known to want; "" while nothing is known. Throws
  // permission_denied when the token server refuses, unavailable when it does not answer.
  std::string authorization(Call& call, const Endpoint& endpoint);
  // Learns from a 401. True: another try with a new authorization() makes sense.
  bool challenged(Call& call, const Endpoint& endpoint, const HttpResponse& response);
  // What to throw when it was refused all the same.
  Error denied(Call& call, const Endpoint& endpoint, const std::string& registry_says);

 private:
  struct Wanted {
    std::string scheme, realm, service;
    std::string scope;  // besides the repository's
  };
  struct Token {
    std::string value;
    std::chrono::steady_clock::time_point expires;
  };
  std::optional<Wanted> wanted(const std::string& host) const;
  std::string token(Call& call, const Endpoint& endpoint, const Wanted& wanted);
  Token fetch_token(Call& call, const Endpoint& endpoint, const Wanted& wanted);
  HttpResponse ask_token_server(Call& call, const Endpoint& endpoint, const Wanted& wanted);

  HttpClient& http_;
  mutable std::mutex mutex_;
  std::map<std::string, Wanted> wanted_;  // by host
  std::map<std::string, Token> tokens_;
};

}  // namespace dagger::oci
