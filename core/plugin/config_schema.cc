#include "core/plugin/config_schema.h"

#include <algorithm>
#include <array>
#include <regex>

#include <nlohmann/json.hpp>

#include "core/plugin/nearest_name.h"
#include "dagger/plugin/error.h"

namespace dagger::plugin {
namespace {

using nlohmann::json;
using Problems = std::vector<SettingsProblem>;

constexpr std::size_t max_problems = 20;
constexpr std::size_t max_matched = 2048;
constexpr unsigned max_groups = 100;
constexpr int max_depth = 32;  // of a schema; settings cannot be checked deeper than their schema

constexpr std::array types = {"object", "array", "string", "boolean", "integer", "number", "null"};
constexpr std::array keywords = {
    "type",      "properties", "required", "additionalProperties", "items",   "enum",    "minimum",  "maximum",
    "minLength", "maxLength",  "title",    "description",          "pattern", "default", "examples", "$schema"};

template <class List>
bool one_of(const List& list, const std::string& value) {
  return std::any_of(list.begin(), list.end(), [&](const char* known) { return value == known; });
}

// One reference token of a JSON pointer (RFC 6901).
std::string child(const std::string& pointer, const std::string& key) {
  std::string token;
  for (const char c : key) token += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return pointer + "/" + token;
}

const char* type_of(const json& value) {
  if (value.is_number_integer()) return "integer";
  return value.is_number() ? "number" : value.type_name();
}

bool has_type(const json& value, const std::string& type) {
  if (type == "number") return value.is_number();
  return type_of(value) == type;
}

bool is_pattern(const std::string& text) {
  try {
    return std::regex(text, std::regex::ECMAScript).mark_count() < max_groups;
  } catch (const std::regex_error&) {
    return false;
  }
}

// ---- the schema ----

void check_schema_at(const json& schema, const std::string& at, int depth, Problems& problems);

void check_subschemas(const json& schema, const std::string& at, int depth, Problems& problems) {
  if (const auto p = schema.find("properties"); p != schema.end()) {
    if (!p->is_object()) {
      problems.push_back({child(at, "properties"), "must be an object"});
    } else {
      for (const auto& [key, property] : p->items()) {
        const auto where = child(child(at, "properties"), key);
        if (!property.is_object() || property.value("description", json()).is_null())
          problems.push_back({where, "every property needs a description"});
        check_schema_at(property, where, depth + 1, problems);
      }
    }
  }
  if (const auto a = schema.find("additionalProperties"); a != schema.end() && !a->is_boolean())
    check_schema_at(*a, child(at, "additionalProperties"), depth + 1, problems);
  if (const auto i = schema.find("items"); i != schema.end())
    check_schema_at(*i, child(at, "items"), depth + 1, problems);
}

void check_schema_at(const json& schema, const std::string& at, int depth, Problems& problems) {
  if (problems.size() >= max_problems) return;
  if (depth > max_depth) return problems.push_back({at, "is nested deeper than " + std::to_string(max_depth)});
  if (!schema.is_object()) return problems.push_back({at, "a schema must be an object"});
  for (const auto& [key, value] : schema.items())
    if (!one_of(keywords, key)) problems.push_back({child(at, key), "is not a supported keyword"});
  if (const auto t = schema.find("type");
      t == schema.end() ? !schema.contains("enum") : !t->is_string() || !one_of(types, t->get<std::string>()))
    problems.push_back({child(at, "type"), "must be one of object, array, string, boolean, integer, number, null"});
  for (const char* key : {"title", "description"})
    if (const auto v = schema.find(key); v != schema.end() && !v->is_string())
      problems.push_back({child(at, key), "must be a text"});
  for (const char* key : {"minimum", "maximum", "minLength", "maxLength"})
    if (const auto v = schema.find(key); v != schema.end() && !v->is_number())
      problems.push_back({child(at, key), "must be a number"});
  if (const auto p = schema.find("pattern");
      p != schema.end() && (!p->is_string() || !is_pattern(p->get<std::string>())))
    problems.push_back({child(at, "pattern"), "must be a regular expression"});
  if (const auto e = schema.find("enum"); e != schema.end() && (!e->is_array() || e->empty()))
    problems.push_back({child(at, "enum"), "must be an array with values"});
  if (const auto r = schema.find("required"); r != schema.end()) {
    const bool names = r->is_array() && std::all_of(r->begin(), r->end(), [](const json& n) { return n.is_string(); });
    if (!names) problems.push_back({child(at, "required"), "must be an array of names"});
  }
  check_subschemas(schema, at, depth, problems);
}

// ---- the settings ----

void check_at(const json& schema, const json& value, const std::string& at, Problems& problems);

void check_object(const json& schema, const json& value, const std::string& at, Problems& problems) {
  static const json none = json::object();
  const auto p = schema.find("properties");
  const json& properties = p == schema.end() ? none : *p;
  const auto a = schema.find("additionalProperties");
  for (const auto& [key, v] : value.items()) {
    if (const auto known = properties.find(key); known != properties.end()) {
      check_at(*known, v, child(at, key), problems);
    } else if (a != schema.end() && a->is_object()) {
      check_at(*a, v, child(at, key), problems);
    } else if (a != schema.end() ? !a->get<bool>() : true) {
      std::vector<std::string> names;
      for (const auto& item : properties.items()) names.push_back(item.key());
      problems.push_back(
          {child(at, key), "unknown key \"" + key + "\"" + known_names_hint(key, std::move(names), "keys")});
    }
  }
  if (const auto r = schema.find("required"); r != schema.end()) {
    for (const auto& name : *r)
      if (!value.contains(name.get_ref<const std::string&>()))
        problems.push_back({at, "key \"" + name.get<std::string>() + "\" is required"});
  }
}

void check_range(const json& schema, double value, const char* low, const char* high, const char* what,
                 const std::string& at, Problems& problems) {
  if (const auto m = schema.find(low); m != schema.end() && value < m->get<double>())
    problems.push_back({at, std::string(what) + " must be at least " + m->dump()});
  if (const auto m = schema.find(high); m != schema.end() && value > m->get<double>())
    problems.push_back({at, std::string(what) + " must be at most " + m->dump()});
}

// std::regex recurses with the text, so the text is bounded.
void check_pattern(const std::string& pattern, const std::string& text, const std::string& at, Problems& problems) {
  if (text.size() > max_matched)
    problems.push_back({at, "is longer than " + std::to_string(max_matched) + " characters"});
  else if (!std::regex_search(text, std::regex(pattern, std::regex::ECMAScript)))
    problems.push_back({at, "does not match the pattern " + pattern + ", found \"" + text + "\""});
}

std::string nearest_of(const json& allowed, const json& value) {
  if (!value.is_string()) return {};
  std::vector<std::string> names;
  for (const auto& one : allowed)
    if (one.is_string()) names.push_back(one);
  const auto nearest = nearest_name(value.get_ref<const std::string&>(), names);
  return nearest.empty() ? std::string() : "; did you mean \"" + nearest + "\"?";
}

// Recursion is bounded by the schema, which check_schema has bounded.
void check_at(const json& schema, const json& value, const std::string& at, Problems& problems) {
  if (problems.size() >= max_problems) return;
  if (const auto t = schema.find("type"); t != schema.end() && !has_type(value, *t))
    return problems.push_back({at, "expected " + t->get<std::string>() + ", found " + type_of(value)});
  if (const auto e = schema.find("enum"); e != schema.end() && std::find(e->begin(), e->end(), value) == e->end())
    problems.push_back({at, "must be one of " + e->dump() + ", found " + value.dump() + nearest_of(*e, value)});
  if (value.is_number()) check_range(schema, value.get<double>(), "minimum", "maximum", "the value", at, problems);
  if (value.is_string())
    check_range(schema, static_cast<double>(value.get_ref<const std::string&>().size()), "minLength", "maxLength",
                "the length", at, problems);
  if (const auto p = schema.find("pattern"); value.is_string() && p != schema.end())
    check_pattern(*p, value, at, problems);
  if (value.is_object()) check_object(schema, value, at, problems);
  if (const auto items = schema.find("items"); value.is_array() && items != schema.end())
    for (std::size_t i = 0; i < value.size(); ++i) check_at(*items, value[i], at + "/" + std::to_string(i), problems);
}

}  // namespace

std::vector<SettingsProblem> check_schema(const json& schema) {
  Problems problems;
  check_schema_at(schema, "", 0, problems);
  if (problems.empty() && schema.value("type", "") != "object") problems.push_back({"/type", "settings are an object"});
  return problems;
}

json parse_schema(std::string_view text) {
  auto schema = json::parse(text, nullptr, false);
  if (schema.is_discarded()) throw Error(Code::plugin_fault, "its settings schema is not valid JSON");
  if (const auto wrong = check_schema(schema); !wrong.empty())
    throw Error(Code::plugin_fault, "its settings schema is wrong at '" + wrong[0].pointer + "': " + wrong[0].message);
  return schema;
}

std::vector<SettingsProblem> check_settings(const json& schema, const json& settings) {
  Problems problems;
  check_at(schema, settings, "", problems);
  if (problems.size() > max_problems) problems.resize(max_problems);
  return problems;
}

}  // namespace dagger::plugin
