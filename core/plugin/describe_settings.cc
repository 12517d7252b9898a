#include <nlohmann/json.hpp>

#include "core/plugin/config_schema.h"

namespace dagger::plugin {
namespace {

using nlohmann::json;

std::string plain(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// "1 to 64", "1 or more", "up to 64"; empty: any.
std::string range(const json& schema, const char* low, const char* high) {
  const bool from = schema.contains(low), to = schema.contains(high);
  if (from && to) return schema[low].dump() + " to " + schema[high].dump();
  if (from) return schema[low].dump() + " or more";
  return to ? "up to " + schema[high].dump() : std::string();
}

std::string type_text(const json& schema) {
  if (const auto allowed = schema.find("enum"); allowed != schema.end()) {
    std::string text;
    for (const auto& value : *allowed) text += (text.empty() ? "one of " : ", ") + plain(value);
    return text;
  }
  std::string text = schema.value("type", "");
  if (text == "array" && schema.contains("items")) text += " of " + type_text(schema["items"]);
  if (text == "object") text = "table";
  if (const auto values = range(schema, "minimum", "maximum"); !values.empty()) text += ", " + values;
  if (const auto length = range(schema, "minLength", "maxLength"); !length.empty())
    text += ", " + length + " characters";
  if (schema.contains("pattern")) text += ", like " + plain(schema["pattern"]);
  return text;
}

// Recursion is bounded by the schema, which check_schema has bounded.
void describe(const json& schema, const std::string& prefix, std::vector<SettingInfo>& all) {
  const auto required = schema.value("required", json::array());
  const auto add = [&](const std::string& name, const json& property) {
    const auto initial = property.find("default");
    all.push_back({prefix + name, type_text(property), initial == property.end() ? "" : initial->dump(),
                   property.value("description", ""),
                   std::find(required.begin(), required.end(), name) != required.end()});
    describe(property, prefix + name + ".", all);
  };
  if (const auto properties = schema.find("properties"); properties != schema.end())
    for (const auto& [name, property] : properties->items()) add(name, property);
  if (const auto more = schema.find("additionalProperties"); more != schema.end() && more->is_object())
    describe(*more, prefix + "*.", all);
  if (const auto items = schema.find("items"); items != schema.end())
    describe(*items, prefix.substr(0, prefix.size() - 1) + "[].", all);
}

}  // namespace

std::vector<SettingInfo> describe_settings(const json& schema) {
  std::vector<SettingInfo> all;
  describe(schema, "", all);
  return all;
}

}  // namespace dagger::plugin
