#include "plugins/common/base/json.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace dagger::plugin_base {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(Code::invalid_argument, message); }

std::string list(std::initializer_list<std::string_view> names) {
  std::string out;
  for (const auto name : names) out.append(out.empty() ? "" : ", ").append(name);
  return out;
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& what, Code code, const JsonLimits& limits) {
  if (text.size() > limits.bytes)
    throw Error(code, what + " is larger than " + std::to_string(limits.bytes) + " bytes");
  const auto bounded = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > limits.depth) throw Error(code, what + " is nested deeper than " + std::to_string(limits.depth));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), bounded);
  } catch (const nlohmann::json::exception& e) {
    throw Error(code, what + " is not valid JSON: " + e.what());
  }
}

nlohmann::json parse_settings(std::string_view text) {
  return parse_json(text.empty() ? "{}" : text, "the plugin's settings", Code::invalid_argument);
}

void check_keys(const nlohmann::json& object, const std::string& where, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) refuse(where + " must be an object");
  for (const auto& [key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      refuse(where + ": unknown key \"" + key + "\"; known: " + list(known));
}

std::string string_setting(const nlohmann::json& object, const std::string& where, const char* key,
                           std::string absent) {
  const auto found = object.find(key);
  if (found == object.end()) return absent;
  if (!found->is_string()) refuse(where + "." + key + " must be a string");
  return found->get<std::string>();
}

std::int64_t int_setting(const nlohmann::json& object, const std::string& where, const char* key, std::int64_t absent,
                         std::int64_t least, std::int64_t most) {
  const auto found = object.find(key);
  if (found == object.end()) return absent;
  if (!found->is_number_integer() || *found < least || *found > most)
    refuse(where + "." + key + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return found->get<std::int64_t>();
}

}  // namespace dagger::plugin_base
