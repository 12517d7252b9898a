// plugins/common/oci-registry/settings.h — where the registries are: mirrors, plain http, CA files. Pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "plugins/common/oci-registry/reference.h"

namespace dagger::oci {

struct HostSettings {
  std::vector<std::string> mirrors;  // "[http[s]://]host[:port][/path]"
  std::optional<bool> plain_http;
  std::string ca;  // absolute path, or ""
};

// By domain as references spell it ("docker.io", "localhost:5000").
using RegistrySettings = std::map<std::string, HostSettings>;

// The value of the setting "registries". Throws Error{invalid_argument} that names the key.
RegistrySettings parse_registries(const nlohmann::json& value);

// The JSON Schema of the setting "registries", for the plugins that have it.
extern const char* const registries_schema;

// One place that may serve a repository.
struct Endpoint {
  std::string scheme, host;  // host[:port] as it is dialled
  std::string repository;    // with the mirror's path in front
  std::string ca;
  bool mirror = false;

  std::string url(const std::string& path) const { return scheme + "://" + host + "/v2/" + repository + path; }
};

// The mirrors in order, then the registry itself.
std::vector<Endpoint> endpoints_of(const RegistrySettings& settings, const Reference& image);

}  // namespace dagger::oci
