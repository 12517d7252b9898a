#include "plugins/common/oci-registry/auth.h"

#include <poll.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "plugins/common/base/base64.h"
#include "plugins/common/base/json.h"
#include "plugins/common/base/sha256.h"

namespace dagger::oci {
namespace {

constexpr std::size_t max_remembered = 256;
constexpr std::size_t max_token_answer = 256 << 10;

std::string basic(const plugin::Credentials& c) { return "Basic " + plugin_base::base64(c.username + ":" + c.secret); }

std::string scope_of(const Endpoint& e) { return "repository:" + e.repository + ":pull"; }

// A scope that a registry wants whatever the repository is; those of repositories are known here.
std::string general(std::string scope) {
  if (scope.rfind("repository:", 0) == 0) scope.clear();
  return scope;
}

// Tokens are kept apart by who asked; the secret itself is not kept.
std::string token_key(Call& call, const Endpoint& e) {
  const auto& c = call.credentials(e.host);
  const std::string who = c ? plugin_base::sha256_hex(c->username + '\n' + c->secret) : "";
  return e.scheme + "://" + e.host + " " + scope_of(e) + " " + who;
}

std::string how_to_log_in(const std::string& host) {
  return "log in with `docker login" + (host == "registry-1.docker.io" ? "" : " " + host) +
         "`, or give withRegistryAuth credentials for " + (host == "registry-1.docker.io" ? "docker.io" : host);
}

void check_realm(const Endpoint& e, const std::string& realm) {
  const bool secure = realm.rfind("https://", 0) == 0, plain = realm.rfind("http://", 0) == 0;
  if ((!secure && !plain) || host_of(realm).empty())
    throw Error(Code::unavailable, "registry " + e.host + " names no usable token server");
  if (plain && e.scheme == "https")
    throw Error(Code::permission_denied,
                "registry " + e.host + " wants credentials sent to " + host_of(realm) + " without encryption; refused");
}

}  // namespace

const std::optional<plugin::Credentials>& Call::credentials(const std::string& host) {
  const auto known = credentials_.find(host);
  if (known != credentials_.end()) return known->second;
  std::optional<plugin::Credentials> found;
  try {
    found = ctx_.credentials(host);
  } catch (const Error& e) {
    if (e.code() != Code::unavailable) throw;
  }
  return credentials_.emplace(host, std::move(found)).first->second;
}

void Call::wait(std::chrono::milliseconds time) const {
  const auto end = std::chrono::steady_clock::now() + time;
  while (true) {
    throw_if_cancelled();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd cancel{ctx_.cancel_fd(), POLLIN, 0};
    ::poll(&cancel, 1, static_cast<int>(std::min<long>(left.count(), cancel.fd >= 0 ? 1000 : 100)));
  }
}

std::optional<Authorizer::Wanted> Authorizer::wanted(const std::string& host) const {
  const std::lock_guard lock(mutex_);
  const auto found = wanted_.find(host);
  return found == wanted_.end() ? std::nullopt : std::optional<Wanted>(found->second);
}

std::string Authorizer::authorization(Call& call, const Endpoint& e) {
  const auto w = wanted(e.host);
  if (!w) return {};
  const auto& c = call.credentials(e.host);
  if (w->scheme == "bearer") return "Bearer " + token(call, e, *w);
  if (!c) return {};
  return c->is_token ? "Bearer " + c->secret : basic(*c);
}

bool Authorizer::challenged(Call& call, const Endpoint& e, const HttpResponse& response) {
  std::optional<Wanted> best;
  for (const auto& [name, value] : response.headers()) {
    if (name != "www-authenticate") continue;
    for (const Challenge& c : parse_challenges(value)) {
      const auto get = [&](const char* key) {
        const auto found = c.parameters.find(key);
        return found == c.parameters.end() ? std::string() : found->second;
      };
      if (c.scheme == "bearer" && !get("realm").empty())
        best = Wanted{c.scheme, get("realm"), get("service"), general(get("scope"))};
      if (c.scheme == "basic" && !best) best = Wanted{c.scheme, {}, {}, {}};
    }
  }
  if (!best) return false;
  if (best->scheme == "bearer") check_realm(e, best->realm);
  if (best->scheme == "basic" && !call.credentials(e.host)) return false;
  const std::string key = token_key(call, e);
  const std::lock_guard lock(mutex_);
  if (wanted_.size() >= max_remembered) wanted_.clear();
  wanted_[e.host] = *best;
  tokens_.erase(key);
  return true;
}

std::string Authorizer::token(Call& call, const Endpoint& e, const Wanted& w) {
  const std::string key = token_key(call, e);
  {
    const std::lock_guard lock(mutex_);
    const auto found = tokens_.find(key);
    if (found != tokens_.end() && found->second.expires > std::chrono::steady_clock::now()) return found->second.value;
  }
  Token fresh = fetch_token(call, e, w);
  const std::lock_guard lock(mutex_);
  if (tokens_.size() >= max_remembered) tokens_.clear();
  return (tokens_[key] = std::move(fresh)).value;
}

HttpResponse Authorizer::ask_token_server(Call& call, const Endpoint& e, const Wanted& w) {
  const auto& c = call.credentials(e.host);
  HttpRequest r;
  r.ca_file = e.ca;
  const std::string query = (w.service.empty() ? "" : "service=" + percent_encode(w.service) + "&") +
                            "scope=" + percent_encode(scope_of(e)) +
                            (w.scope.empty() ? "" : "&scope=" + percent_encode(w.scope));
  if (c && c->is_token) {
    r.method = "POST", r.url = w.realm;
    r.body =
        "grant_type=refresh_token&client_id=dagger-engine&" + query + "&refresh_token=" + percent_encode(c->secret);
  } else {
    r.url = w.realm + (w.realm.find('?') == std::string::npos ? "?" : "&") + query;
    if (c) r.authorization = basic(*c);
  }
  return http_.send(r, call.ctx());
}

Authorizer::Token Authorizer::fetch_token(Call& call, const Endpoint& e, const Wanted& w) {
  const auto now = std::chrono::steady_clock::now();
  HttpResponse response = ask_token_server(call, e, w);
  const auto& c = call.credentials(e.host);
  // A server without the token grant: the token is then meant for the registry itself.
  if (c && c->is_token && (response.status() == 404 || response.status() == 405))
    return {c->secret, now + std::chrono::seconds(60)};
  if (response.status() == 400 || response.status() == 401 || response.status() == 403) {
    if (!c) throw denied(call, e, "");
    throw Error(Code::permission_denied, "registry " + e.host + " refuses the credentials" +
                                             (c->username.empty() ? "" : " of user \"" + c->username + "\"") +
                                             " (wrong user name, password or token); " + how_to_log_in(e.host));
  }
  const std::string where = "token server " + host_of(w.realm) + " of registry " + e.host;
  if (response.status() != 200)
    throw Error(Code::unavailable, where + " answers with status " + std::to_string(response.status()));
  const auto answer =
      plugin_base::parse_json(response.read_all(max_token_answer), "the answer of " + where, Code::unavailable);
  for (const char* key : {"token", "access_token"}) {
    const auto found = answer.is_object() ? answer.find(key) : answer.end();
    if (found == answer.end() || !found->is_string()) continue;
    std::string value = found->get<std::string>();
    const bool safe =
        !value.empty() && std::all_of(value.begin(), value.end(), [](char b) { return b > 0x20 && b < 0x7f; });
    if (!safe) continue;
    const auto life = answer.find("expires_in");
    const std::int64_t seconds = life != answer.end() && life->is_number_integer() ? life->get<std::int64_t>() : 60;
    return {std::move(value), now + std::chrono::seconds(std::clamp<std::int64_t>(seconds, 60, 3600) * 4 / 5)};
  }
  throw Error(Code::unavailable, where + " gave no token");
}

Error Authorizer::denied(Call& call, const Endpoint& e, const std::string& registry_says) {
  const std::string says = registry_says.empty() ? "" : " (" + registry_says + ")";
  const auto& c = call.credentials(e.host);
  const auto w = wanted(e.host);
  const bool bearer = w && w->scheme == "bearer";
  const std::string user = c && !c->username.empty() ? " of user \"" + c->username + "\"" : "";
  if (c && bearer)
    return Error(Code::permission_denied, "registry " + e.host + " denies the credentials" + user + " access to " +
                                              e.repository + says + "; " + how_to_log_in(e.host));
  if (c)
    return Error(Code::permission_denied,
                 "registry " + e.host + " refuses the credentials" + user + says + "; " + how_to_log_in(e.host));
  // Registries that give everybody a token say "denied" for what does not exist, too.
  const bool maybe_unknown = bearer && registry_says.size() > 0;
  return Error(maybe_unknown ? Code::not_found : Code::permission_denied,
               "registry " + e.host + " refuses access to " + e.repository + " without login" + says +
                   ": it does not exist or is private; " + how_to_log_in(e.host));
}

}  // namespace dagger::oci
