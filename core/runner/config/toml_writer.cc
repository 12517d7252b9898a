#include "core/runner/config/toml_writer.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace dagger::runner {
namespace {

using nlohmann::json;

constexpr const char* mask = "\"***\"";

bool is_secret_key(std::string key) {
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* word : {"token", "secret", "password", "credential", "private_key"})
    if (key.find(word) != std::string::npos) return true;
  return false;
}

}  // namespace

// A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
std::string toml_text(const std::string& text) {
  auto quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  for (auto at = quoted.find('\x7f'); at != std::string::npos; at = quoted.find('\x7f', at))
    quoted.replace(at, 1, "\\u007F");
  return quoted;
}

std::string toml_key(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](const char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : toml_text(key);
}

std::string masked_toml(const std::string& key, const json& value) {
  return is_secret_key(key) && value.is_string() ? mask : inline_toml(value);
}

// Depth is bounded by the parser that made the value.
std::string inline_toml(const json& value) {
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, v] : value.items())
      text += (text.empty() ? "" : ", ") + toml_key(key) + " = " + masked_toml(key, v);
    return "{ " + text + " }";
  }
  if (value.is_array()) {
    for (const auto& v : value) text += (text.empty() ? "" : ", ") + inline_toml(v);
    return "[" + text + "]";
  }
  return value.is_string() ? toml_text(value.get<std::string>()) : value.dump();
}

std::string to_toml(const std::string& text, Form form) {
  if (text.empty()) return {};
  return form == Form::secret ? mask : toml_text(text);
}

std::string to_toml(const std::vector<std::string>& texts, Form) { return texts.empty() ? "" : inline_toml(texts); }
std::string to_toml(bool value, Form) { return value ? "true" : "false"; }
std::string to_toml(std::optional<bool> value, Form form) { return value ? to_toml(*value, form) : ""; }

std::string to_toml(unsigned value, Form form) {
  if (form != Form::octal) return std::to_string(value);
  std::string digits;
  for (int shift = 9; shift >= 0; shift -= 3) digits += static_cast<char>('0' + ((value >> shift) & 7));
  return toml_text(digits);
}

std::string to_toml(plugin::Isolation value, Form) {
  if (value == plugin::Isolation::by_place) return {};
  return toml_text(value == plugin::Isolation::process ? "process" : "none");
}

std::string to_toml(std::chrono::seconds value, Form) {
  const auto n = value.count();
  if (n == 0) return toml_text("0");
  if (n % 3600 == 0) return toml_text(std::to_string(n / 3600) + "h");
  return toml_text(n % 60 == 0 ? std::to_string(n / 60) + "m" : std::to_string(n) + "s");
}

}  // namespace dagger::runner
