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
inline constexpr char registries_schema[] = R"json({
      "type": "object",
      "description": "Registries that need something special, by host[:port] (docker.io for Docker Hub)",
      "additionalProperties": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "mirrors": {
            "type": "array",
            "items": {"type": "string", "pattern": "^(https?://)?[^/]+(/.*)?$"},
            "description": "Asked in this order before the registry itself: [http[s]://]host[:port][/path]"
          },
          "plain_http": {
            "type": "boolean",
            "description": "Speak http (true) or https (false); without it, http for loopback addresses only"
          },
          "ca": {
            "type": "string",
            "pattern": "^/",
            "description": "Absolute path of a PEM file with certificates to trust here, besides the system's"
          }
        }
      }
    })json";

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
