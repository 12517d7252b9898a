#include "core/graphql/leaf_writer.h"

#include "core/graphql/error.h"

namespace dagger::graphql {
namespace {

bool fits(const Value& value, const TypeDef& type) {
  if (type.kind == TypeDef::Kind::enum_type) {
    const auto* e = value.as_enum();
    const std::string* name = e != nullptr ? &e->name : value.as_string();
    return name != nullptr && type.find_enum_value(*name) != nullptr;
  }
  if (type.name == "Int") return value.as_int() != nullptr;
  if (type.name == "Float") return value.as_int() != nullptr || value.as_double() != nullptr;
  if (type.name == "Boolean") return value.as_bool() != nullptr;
  if (type.name == "String" || type.name == "ID") return value.as_string() != nullptr;
  return value.as_object() == nullptr;
}

}  // namespace

void write_leaf(const Value& value, const TypeDef& type, std::string& out) {
  if (!fits(value, type)) {
    const std::string kind = type.kind == TypeDef::Kind::enum_type ? "Enum \"" + type.name + "\"" : type.name;
    throw FieldError(kind + " cannot represent value: " + inspect(value));
  }
  append_json(value, out);
}

bool is_long_text(const Value& value, const TypeDef& type) {
  constexpr std::size_t long_text = 16 << 10;
  return value.as_string() != nullptr && value.as_string()->size() > long_text && fits(value, type);
}

bool write_leaf_list(const Value::List& items, const TypeDef& type, std::uint32_t depth, std::string& out) {
  char separator = '[';
  for (const auto& item : items) {
    out += separator;
    separator = ',';
    if (depth > 0) {
      if (item.as_list() == nullptr || !write_leaf_list(*item.as_list(), type, depth - 1, out)) return false;
    } else if (item.is_null() || !fits(item, type)) {
      return false;
    } else {
      append_json(item, out);
    }
  }
  out += items.empty() ? "[]" : "]";
  return true;
}

}  // namespace dagger::graphql
