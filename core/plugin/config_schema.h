// core/plugin/config_schema.h — plugin settings checked against the plugin's own schema.
//
// The subset of JSON Schema that settings need: type (required, but beside enum), properties, required,
// additionalProperties, items, enum, minimum, maximum, minLength, maxLength, pattern, and the annotations title,
// description, default, examples, $schema. One rule of our own: an object with "properties" refuses other keys unless
// "additionalProperties" says otherwise, because an unknown key is a typing mistake. Pure. [thread-safe]
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace dagger::plugin {

struct SettingsProblem {
  std::string pointer;  // JSON pointer of the value, "/registries/docker.io/mirrors"; "" for the whole
  std::string message;  // "expected array, found string"
};

// What is wrong with the schema itself; empty: nothing. A schema that names a keyword outside the subset is refused, so
// that no author believes in a check that does not happen. Properties need a description.
std::vector<SettingsProblem> check_schema(const nlohmann::json& schema);

// A schema that is not wrong. Throws plugin_fault with the first thing that is.
nlohmann::json parse_schema(std::string_view text);

// What is wrong with the settings; at most 20 problems are reported.
std::vector<SettingsProblem> check_settings(const nlohmann::json& schema, const nlohmann::json& settings);

// A setting as people read it. Nested ones have dotted names: "registries.*.mirrors", "list[].name".
struct SettingInfo {
  std::string name;
  std::string type;     // "integer, 1 or more", "one of auto, new"
  std::string initial;  // the default as JSON; empty: the schema does not say
  std::string description;
  bool required = false;
};
// Of a schema that is not wrong; the settings of a table come after it.
std::vector<SettingInfo> describe_settings(const nlohmann::json& schema);

}  // namespace dagger::plugin
