// plugins/common/base/json.h — reading JSON from outside with bounds, and a plugin's settings with clear errors.
//
// Include <nlohmann/json.hpp> where a value is used. Values only; no I/O.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "dagger/plugin/error.h"

namespace dagger::plugin_base {

struct JsonLimits {
  std::size_t bytes = 4 << 20;
  int depth = 32;
};
// what: names the document in errors. Throws Error{code}.
nlohmann::json parse_json(std::string_view text, const std::string& what, Code code, const JsonLimits& limits = {});

// The settings of a plugin: "" counts as {}. Throws Error{invalid_argument}.
nlohmann::json parse_settings(std::string_view text);
// Refuses what is no object and keys that are not listed. where: "settings", "settings.registries.\"x\"".
void check_keys(const nlohmann::json& object, const std::string& where, std::initializer_list<std::string_view> known);
// The member, or a default when it is absent; Error{invalid_argument} when it has another type.
std::string string_setting(const nlohmann::json& object, const std::string& where, const char* key, std::string absent);
std::int64_t int_setting(const nlohmann::json& object, const std::string& where, const char* key, std::int64_t absent,
                         std::int64_t least, std::int64_t most);

}  // namespace dagger::plugin_base
