#include "core/graphql/value.h"

#include <charconv>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/graphql/utf8.h"

namespace dagger::graphql {
namespace {

using nlohmann::json;

void append_double(double v, std::string& out) {
  if (!std::isfinite(v)) {
    out += "null";  // JSON has no other word for it
    return;
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
  out.append(buffer, end);
}

Value convert(const json& j) {
  switch (j.type()) {
    case json::value_t::boolean:
      return j.get<bool>();
    case json::value_t::number_integer:
      return j.get<std::int64_t>();
    case json::value_t::number_unsigned: {
      const auto v = j.get<std::uint64_t>();
      if (v > std::uint64_t{INT64_MAX}) return static_cast<double>(v);
      return static_cast<std::int64_t>(v);
    }
    case json::value_t::number_float:
      return j.get<double>();
    case json::value_t::string:
      return j.get<std::string>();
    case json::value_t::array: {
      Value::List items;
      items.reserve(j.size());
      for (const auto& item : j) items.push_back(convert(item));
      return items;
    }
    case json::value_t::object: {
      Value::Map members;
      members.reserve(j.size());
      for (const auto& [key, member] : j.items()) members.emplace_back(key, convert(member));
      return members;
    }
    default:
      return nullptr;
  }
}

// Enough for a message; a client may send values of many megabytes.
constexpr std::size_t max_inspected = 1000;

void append_inspected(const Value& value, std::string& out) {
  const char* separator = "";
  const auto next = [&] {
    out += std::exchange(separator, ", ");
    return out.size() <= max_inspected;
  };
  if (const auto* list = value.as_list()) {
    out += "[";
    for (auto it = list->begin(); it != list->end() && next(); ++it) append_inspected(*it, out);
    out += "]";
  } else if (const auto* members = value.as_map()) {
    out += members->empty() ? "{" : "{ ";
    for (auto it = members->begin(); it != members->end() && next(); ++it) {
      out += it->first + ": ";
      append_inspected(it->second, out);
    }
    out += members->empty() ? "}" : " }";
  } else if (const auto* object = value.as_object()) {
    out += "[object " + object->type_name() + "]";
  } else if (const auto* text = value.as_string()) {
    append_json_string(std::string_view(*text).substr(0, max_inspected), out);
  } else {
    append_json(value, out);
  }
}

}  // namespace

const Value* Value::find(std::string_view name) const {
  if (const auto* members = as_map())
    for (const auto& [key, value] : *members)
      if (key == name) return &value;
  return nullptr;
}

void Value::set(std::string name, Value value) {
  if (is_null()) data_ = Map{};
  auto& members = std::get<Map>(data_);
  for (auto& [key, old] : members)
    if (key == name) {
      old = std::move(value);
      return;
    }
  members.emplace_back(std::move(name), std::move(value));
}

void append_json_string(std::string_view text, std::string& out) {
  static constexpr char hex[] = "0123456789abcdef";
  const auto plain = [](unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; };
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto run = i;
    while (i < text.size() && plain(static_cast<unsigned char>(text[i]))) ++i;
    out += text.substr(run, i - run);
    if (i == text.size()) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const std::size_t length = utf8_length(text.substr(i));
      out += length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(i, length);
      i += length == 0 ? 1 : length;
      continue;
    }
    ++i;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        out += "\\u00";
        out += hex[c >> 4];
        out += hex[c & 15];
    }
  }
  out += '"';
}

void append_json(const Value& value, std::string& out) {
  if (const auto* b = value.as_bool()) {
    out += *b ? "true" : "false";
  } else if (const auto* n = value.as_int()) {
    out += std::to_string(*n);
  } else if (const auto* d = value.as_double()) {
    append_double(*d, out);
  } else if (const auto* s = value.as_string()) {
    append_json_string(*s, out);
  } else if (const auto* e = value.as_enum()) {
    append_json_string(e->name, out);
  } else if (const auto* list = value.as_list()) {
    char separator = '[';
    for (const auto& item : *list) {
      out += separator;
      append_json(item, out);
      separator = ',';
    }
    out += list->empty() ? "[]" : "]";
  } else if (const auto* members = value.as_map()) {
    char separator = '{';
    for (const auto& [key, member] : *members) {
      out += separator;
      append_json_string(key, out);
      out += ':';
      append_json(member, out);
      separator = ',';
    }
    out += members->empty() ? "{}" : "}";
  } else {
    out += "null";
  }
}

std::string to_json(const Value& value) {
  std::string out;
  append_json(value, out);
  return out;
}

Value from_json_text(std::string_view text) {
  try {
    return convert(json::parse(text, [](int depth, json::parse_event_t, json&) {
      if (depth > static_cast<int>(max_value_depth))
        throw Error(Code::invalid_argument,
                    "JSON is nested deeper than " + std::to_string(max_value_depth) + " levels; flatten the value");
      return true;
    }));
  } catch (const json::exception& e) {
    throw Error(Code::invalid_argument, std::string("not valid JSON: ") + e.what());
  }
}

std::string inspect(const Value& value) {
  std::string out;
  append_inspected(value, out);
  if (out.size() > max_inspected) out = out.substr(0, max_inspected) + "...";
  return out;
}

}  // namespace dagger::graphql
