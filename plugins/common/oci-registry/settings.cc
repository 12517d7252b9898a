#include "plugins/common/oci-registry/settings.h"

#include <nlohmann/json.hpp>

#include "plugins/common/base/json.h"

namespace dagger::oci {
namespace {

struct Address {
  std::string scheme, host, path;
};

Address split(const std::string& text) {
  Address a;
  std::string_view rest = text;
  for (const std::string_view scheme : {"http", "https"}) {
    if (rest.substr(0, scheme.size()) != scheme || rest.substr(scheme.size(), 3) != "://") continue;
    a.scheme = scheme;
    rest.remove_prefix(scheme.size() + 3);
    break;
  }
  while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  const auto slash = rest.find('/');
  a.host = rest.substr(0, slash);
  if (slash != std::string_view::npos) a.path = rest.substr(slash + 1);
  return a;
}

bool is_address(const Address& a) { return is_domain(a.host) && (a.path.empty() || is_repository(a.path)); }

HostSettings parse_host(const nlohmann::json& value, const std::string& where) {
  plugin_base::check_keys(value, where, {"mirrors", "plain_http", "ca"});
  HostSettings h;
  h.ca = plugin_base::string_setting(value, where, "ca", "");
  if (!h.ca.empty() && h.ca.front() != '/')
    throw Error(Code::invalid_argument, where + ".ca must be an absolute path, not \"" + h.ca + "\"");
  if (const auto plain = value.find("plain_http"); plain != value.end()) {
    if (!plain->is_boolean()) throw Error(Code::invalid_argument, where + ".plain_http must be true or false");
    h.plain_http = plain->get<bool>();
  }
  const auto mirrors = value.find("mirrors");
  if (mirrors == value.end()) return h;
  const Error bad(Code::invalid_argument, where + ".mirrors must be a list of [http[s]://]host[:port][/path]");
  if (!mirrors->is_array()) throw bad;
  for (const auto& mirror : *mirrors) {
    if (!mirror.is_string() || !is_address(split(mirror.get<std::string>()))) throw bad;
    h.mirrors.push_back(mirror.get<std::string>());
  }
  return h;
}

std::string scheme_for(const RegistrySettings& settings, const std::string& domain) {
  const auto found = settings.find(canonical_domain(domain));
  if (found != settings.end() && found->second.plain_http) return *found->second.plain_http ? "http" : "https";
  if (found != settings.end() && !found->second.ca.empty()) return "https";
  return is_loopback(domain) ? "http" : "https";
}

std::string ca_for(const RegistrySettings& settings, const std::string& domain) {
  const auto found = settings.find(canonical_domain(domain));
  return found == settings.end() ? std::string() : found->second.ca;
}

std::string dialled(const std::string& domain) { return domain == "docker.io" ? "registry-1.docker.io" : domain; }

}  // namespace

RegistrySettings parse_registries(const nlohmann::json& value) {
  if (!value.is_object()) throw Error(Code::invalid_argument, "settings.registries must be an object");
  RegistrySettings out;
  for (const auto& [key, host] : value.items()) {
    if (!is_domain(key))
      throw Error(Code::invalid_argument, "settings.registries: \"" + key + "\" is not host[:port] of a registry");
    out[canonical_domain(key)] = parse_host(host, "settings.registries.\"" + key + "\"");
  }
  return out;
}

std::vector<Endpoint> endpoints_of(const RegistrySettings& settings, const Reference& image) {
  std::vector<Endpoint> out;
  if (const auto found = settings.find(image.domain); found != settings.end()) {
    for (const auto& text : found->second.mirrors) {
      const Address a = split(text);
      Endpoint e{a.scheme.empty() ? scheme_for(settings, a.host) : a.scheme, dialled(a.host), image.repository,
                 ca_for(settings, a.host), true};
      if (!a.path.empty()) e.repository = a.path + "/" + image.repository;
      out.push_back(std::move(e));
    }
  }
  out.push_back({scheme_for(settings, image.domain), dialled(image.domain), image.repository,
                 ca_for(settings, image.domain), false});
  return out;
}

}  // namespace dagger::oci
