#include "core/graphql/literal.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace dagger::graphql {
namespace {

using ast::Literal;
using Kind = Literal::Kind;

// JSON scalars and the like take any literal as it is.
Value untyped(const Literal& literal, const Value* variables) {
  switch (literal.kind) {
    case Kind::null:
      return nullptr;
    case Kind::boolean:
      return literal.text == "true";
    case Kind::string:
      return literal.text;
    case Kind::enum_value:
      return literal.text;
    case Kind::int_value:
    case Kind::float_value: {
      std::int64_t n = 0;
      const char* const end = literal.text.data() + literal.text.size();
      const auto [stop, error] = std::from_chars(literal.text.data(), end, n);
      if (error == std::errc{} && stop == end) return n;
      return std::strtod(literal.text.c_str(), nullptr);
    }
    case Kind::variable: {
      const Value* v = variables == nullptr ? nullptr : variables->find(literal.text);
      return v == nullptr ? Value() : *v;
    }
    case Kind::list: {
      Value::List items;
      for (const auto& child : literal.children) items.push_back(untyped(child, variables));
      return items;
    }
    case Kind::object: {
      Value::Map members;
      for (const auto& child : literal.children) members.emplace_back(child.name.text, untyped(child, variables));
      return members;
    }
  }
  return nullptr;
}

bool coerce_object(const Literal& literal, const TypeDef& type, const Value* variables, Value& out) {
  Value result{Value::Map{}};
  for (const auto& field : type.input_fields) {
    const Literal* given = nullptr;
    for (const auto& child : literal.children)
      if (child.name.text == field.name) given = &child;
    const bool absent_variable = given != nullptr && given->kind == Kind::variable &&
                                 (variables == nullptr || variables->find(given->text) == nullptr);
    if (given == nullptr || absent_variable) {
      if (field.has_default())
        result.set(field.name, field.default_value);
      else if (field.type.is_non_null())
        return false;
      continue;
    }
    Value value;
    if (!coerce_literal(*given, field.type, field.named_type, variables, value)) return false;
    result.set(field.name, std::move(value));
  }
  out = std::move(result);
  return true;
}

}  // namespace

std::string print(const Literal& literal) {
  std::string out;
  switch (literal.kind) {
    case Kind::variable:
      return "$" + literal.text;
    case Kind::string:
      append_json_string(literal.text, out);
      return out;
    case Kind::list:
      for (const auto& child : literal.children) out += (out.empty() ? "" : ", ") + print(child);
      return "[" + out + "]";
    case Kind::object:
      for (const auto& child : literal.children)
        out += (out.empty() ? "" : ", ") + std::string(child.name.text) + ": " + print(child);
      return out.empty() ? "{}" : "{ " + out + " }";
    case Kind::null:
      return "null";
    default:
      return literal.text;
  }
}

std::string coerce_leaf_literal(const Literal& literal, const TypeDef& type, bool quoted_enum_values, Value* out) {
  const auto give = [&](Value v) {
    if (out != nullptr) *out = std::move(v);
    return std::string();
  };
  if (type.kind == TypeDef::Kind::enum_type) {
    const bool quoted = quoted_enum_values && literal.kind == Kind::string;
    if (literal.kind != Kind::enum_value && !(quoted && type.find_enum_value(literal.text) != nullptr))
      return "Enum \"" + type.name + "\" cannot represent non-enum value: " + print(literal) + ".";
    if (type.find_enum_value(literal.text) == nullptr)
      return "Value \"" + literal.text + "\" does not exist in \"" + type.name + "\" enum.";
    return give(Value::Enum{literal.text});
  }
  if (type.name == "Int") {
    if (literal.kind != Kind::int_value) return "Int cannot represent non-integer value: " + print(literal);
    Value v = untyped(literal, nullptr);
    if (v.as_int() == nullptr) return "Int cannot represent non 64-bit signed integer value: " + literal.text;
    return give(std::move(v));
  }
  if (type.name == "Float") {
    if (literal.kind != Kind::int_value && literal.kind != Kind::float_value)
      return "Float cannot represent non numeric value: " + print(literal);
    return give(std::strtod(literal.text.c_str(), nullptr));
  }
  if (type.name == "Boolean") {
    if (literal.kind != Kind::boolean) return "Boolean cannot represent a non boolean value: " + print(literal);
    return give(literal.text == "true");
  }
  if (type.name == "String") {
    if (literal.kind != Kind::string) return "String cannot represent a non string value: " + print(literal);
    return give(literal.text);
  }
  if (type.name == "ID") {
    if (literal.kind != Kind::string && literal.kind != Kind::int_value)
      return "ID cannot represent a non-string and non-integer value: " + print(literal);
    return give(literal.text);
  }
  if (same_scalar(type.name, "ID") && literal.kind == Kind::int_value) return give(literal.text);
  return give(untyped(literal, nullptr));
}

std::string coerce_leaf_value(const Value& value, const TypeDef& type, Value& out) {
  out = value;
  if (type.kind == TypeDef::Kind::enum_type) {
    const auto* text = value.as_string();
    if (const auto* e = value.as_enum()) text = &e->name;
    if (text == nullptr) return "Enum \"" + type.name + "\" cannot represent non-string value: " + inspect(value) + ".";
    if (type.find_enum_value(*text) == nullptr)
      return "Value \"" + *text + "\" does not exist in \"" + type.name + "\" enum.";
    out = Value::Enum{*text};
    return {};
  }
  const auto* number = value.as_double();
  const bool whole = number != nullptr && std::trunc(*number) == *number && std::abs(*number) < 9.2e18;
  if (type.name == "Int") {
    if (whole) out = static_cast<std::int64_t>(*number);
    return value.as_int() != nullptr || whole ? "" : "Int cannot represent non-integer value: " + inspect(value);
  }
  if (type.name == "Float") {
    if (const auto* n = value.as_int()) out = static_cast<double>(*n);
    return out.as_double() != nullptr ? "" : "Float cannot represent non numeric value: " + inspect(value);
  }
  if (type.name == "Boolean")
    return value.as_bool() != nullptr ? "" : "Boolean cannot represent a non boolean value: " + inspect(value);
  if (type.name == "String")
    return value.as_string() != nullptr ? "" : "String cannot represent a non string value: " + inspect(value);
  if (same_scalar(type.name, "ID")) {
    if (const auto* n = value.as_int()) out = std::to_string(*n);
    if (type.name == "ID" && out.as_string() == nullptr) return "ID cannot represent value: " + inspect(value);
  }
  return {};
}

bool coerce_literal(const Literal& literal, const TypeRef& type, const TypeDef* named_type, const Value* variables,
                    Value& out) {
  if (literal.kind == Kind::variable) {
    const Value* v = variables == nullptr ? nullptr : variables->find(literal.text);
    out = v == nullptr ? Value() : *v;
    // A variable of type T stands for [T] as well.
    if (!out.is_null() && type.is_list() && out.as_list() == nullptr) out = Value::List{std::move(out)};
    return !(out.is_null() && type.is_non_null());
  }
  if (literal.kind == Kind::null) {
    out = nullptr;
    return !type.is_non_null();
  }
  if (type.is_list()) {
    const TypeRef item = type.item();
    Value::List items;
    if (literal.kind != Kind::list) {
      items.emplace_back();
      if (!coerce_literal(literal, item, named_type, variables, items.back())) return false;
    }
    if (literal.kind == Kind::list)
      for (const auto& child : literal.children) {
        items.emplace_back();
        if (!coerce_literal(child, item, named_type, variables, items.back())) return false;
      }
    out = std::move(items);
    return true;
  }
  if (named_type->kind == TypeDef::Kind::input)
    return literal.kind == Kind::object && coerce_object(literal, *named_type, variables, out);
  if (named_type->kind == TypeDef::Kind::scalar && (literal.kind == Kind::list || literal.kind == Kind::object)) {
    out = untyped(literal, variables);
    return true;
  }
  return coerce_leaf_literal(literal, *named_type, true, &out).empty();
}

}  // namespace dagger::graphql
