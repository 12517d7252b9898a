#include "core/graphql/schema_view.h"

#include <algorithm>

namespace dagger::graphql {
namespace {

template <class T>
const T* find_sorted(const std::vector<T>& items, std::string_view name) {
  const auto it = std::lower_bound(items.begin(), items.end(), name,
                                   [](const T& item, std::string_view wanted) { return item.name < wanted; });
  return it != items.end() && it->name == name ? &*it : nullptr;
}

template <class T>
const T* find_any(const std::vector<T>& items, std::string_view name) {
  const auto it = std::find_if(items.begin(), items.end(), [&](const T& item) { return item.name == name; });
  return it == items.end() ? nullptr : &*it;
}

template <class Map>
auto find_in(const Map& map, std::string_view name) -> const typename Map::mapped_type* {
  const auto it = map.find(name);
  return it == map.end() ? nullptr : &it->second;
}

}  // namespace

std::string TypeRef::text() const {
  std::string out(depth, '[');
  out += name;
  for (unsigned level = 0; level <= depth; ++level) {
    if (level > 0) out += ']';
    if ((non_null >> level & 1u) != 0) out += '!';
  }
  return out;
}

const InputValueDef* FieldDef::find_arg(std::string_view arg) const { return find_any(args, arg); }
const InputValueDef* DirectiveDef::find_arg(std::string_view arg) const { return find_any(args, arg); }
bool DirectiveDef::allowed_on(std::string_view location) const {
  return std::find(locations.begin(), locations.end(), location) != locations.end();
}

const FieldDef* TypeDef::find_field(std::string_view field) const { return find_sorted(fields, field); }
const EnumValueDef* TypeDef::find_enum_value(std::string_view value) const { return find_sorted(enum_values, value); }
const InputValueDef* TypeDef::find_input_field(std::string_view field) const { return find_any(input_fields, field); }
bool TypeDef::can_be(std::string_view object) const {
  return name == object || std::binary_search(possible_types.begin(), possible_types.end(), object);
}

const TypeDef* SchemaView::find_type(std::string_view name) const { return find_in(types_, name); }
const DirectiveDef* SchemaView::find_directive(std::string_view name) const { return find_in(directives_, name); }

const TypeDef* SchemaView::root(ast::Definition::Kind operation) const {
  return operation > ast::Definition::Kind::subscription ? nullptr
                                                         : find_type(root_names_[static_cast<int>(operation)]);
}

const FieldDef* SchemaView::find_field(const TypeDef& type, std::string_view name) const {
  if (name.starts_with("__")) {
    const bool query_root = type.name == root_names_[0];
    if (name == "__typename" && type.is_composite()) return &typename_field_;
    if (name == "__schema" && query_root) return &schema_field_;
    if (name == "__type" && query_root) return &type_field_;
  }
  return type.find_field(name);
}

bool same_scalar(std::string_view a, std::string_view b) {
  const auto is_id = [](std::string_view name) { return name.ends_with("ID"); };
  return a == b || (is_id(a) && is_id(b));
}

}  // namespace dagger::graphql
