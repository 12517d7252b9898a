#include <algorithm>
#include <deque>

#include "core/graphql/literal.h"
#include "core/graphql/schema_source.h"

namespace dagger::graphql {
namespace {

using ast::rows;
using Kind = ast::Definition::Kind;

std::optional<std::string> deprecation(const ast::Document& document, ast::Range directives) {
  return directive_text(document, directives, "deprecated", "reason", "No longer supported");
}

TypeDef::Kind type_kind(Kind kind) {
  switch (kind) {
    case Kind::object:
      return TypeDef::Kind::object;
    case Kind::interface:
      return TypeDef::Kind::interface;
    case Kind::union_type:
      return TypeDef::Kind::union_type;
    case Kind::enum_type:
      return TypeDef::Kind::enum_type;
    case Kind::input:
      return TypeDef::Kind::input;
    default:
      return TypeDef::Kind::scalar;
  }
}

// Of several declarations of one name the last visible one counts (only in the superset can there be more than one).
template <class T>
void put(std::vector<T>& items, T item) {
  for (auto& old : items)
    if (old.name == item.name) {
      old = std::move(item);
      return;
    }
  items.push_back(std::move(item));
}

template <class T>
void sort_by_name(std::vector<T>& items) {
  std::sort(items.begin(), items.end(), [](const T& a, const T& b) { return a.name < b.name; });
}

bool is_empty(const TypeDef& type) {
  switch (type.kind) {
    case TypeDef::Kind::scalar:
      return false;
    case TypeDef::Kind::object:
    case TypeDef::Kind::interface:
      return type.fields.empty();
    case TypeDef::Kind::union_type:
      return type.possible_types.empty();
    case TypeDef::Kind::enum_type:
      return type.enum_values.empty();
    case TypeDef::Kind::input:
      return type.input_fields.empty();
  }
  return false;
}

FieldDef meta_field(std::string name, TypeRef type) {
  FieldDef field;
  field.name = std::move(name);
  field.type = std::move(type);
  return field;
}

}  // namespace

std::shared_ptr<const SchemaView> ViewBuilder::build() {
  view_ = std::make_shared<SchemaView>();
  view_->version_ = version_;
  view_->description_ = source_.description;
  view_->documents_ = source_.documents;
  std::copy(std::begin(source_.root_names), std::end(source_.root_names), std::begin(view_->root_names_));
  for (const auto& [name, parts] : source_.types)
    if (visible(parts.front().range)) add_type(name, parts);
  for (auto& [name, type] : view_->types_)
    for (const auto& interface : type.interfaces)
      if (const auto it = view_->types_.find(interface);
          it != view_->types_.end() && type.kind == TypeDef::Kind::object)
        it->second.possible_types.push_back(name);
  add_directives();
  close();
  link();
  return view_;
}

void ViewBuilder::add_type(const std::string& name, const std::vector<SourceDefinition>& parts) {
  TypeDef& type = view_->types_[name];
  type.name = name;
  type.kind = type_kind(parts.front().definition->kind);
  type.description = parts.front().definition->description;
  for (const auto& part : parts)
    if (visible(part.range)) add_part(type, part);
  sort_by_name(type.fields);
  sort_by_name(type.enum_values);
  std::sort(type.interfaces.begin(), type.interfaces.end());
}

void ViewBuilder::add_part(TypeDef& type, const SourceDefinition& part) {
  const auto& document = *part.document;
  const auto& definition = *part.definition;
  if (auto url = directive_text(document, definition.directives, "specifiedBy", "url", ""))
    type.specified_by_url = std::move(*url);
  if (directive_text(document, definition.directives, "oneOf", "", "")) type.one_of = true;
  for (const auto& name : definition.names) {
    auto& list = definition.kind == Kind::union_type ? type.possible_types : type.interfaces;
    list.emplace_back(name.text);
  }
  for (const auto& f : definition.fields) {
    if (!visible(version_range(document, f.directives))) continue;
    FieldDef field;
    field.name = f.name.text;
    field.description = f.description;
    field.args = input_values(document, f.arguments);
    field.type = f.type;
    field.deprecation = deprecation(document, f.directives);
    put(type.fields, std::move(field));
  }
  for (const auto& v : definition.enum_values)
    if (visible(version_range(document, v.directives)))
      put(type.enum_values, EnumValueDef{std::string(v.name.text), v.description, deprecation(document, v.directives)});
  for (auto& value : input_values(document, definition.input_values)) put(type.input_fields, std::move(value));
}

std::vector<InputValueDef> ViewBuilder::input_values(const ast::Document& document, ast::Range range) const {
  std::vector<InputValueDef> values;
  for (const auto& v : rows(document.input_values, range)) {
    const VersionRange versions = version_range(document, v.directives);
    if (!visible(versions)) continue;
    InputValueDef value;
    value.name = v.name.text;
    value.description = v.description;
    // In the superset nobody can be required to give what clients of some versions do not know.
    value.type = !version_ && !versions.is_everything() ? v.type.nullable() : v.type;
    if (v.has_default) value.default_literal = &v.default_value;
    value.deprecation = deprecation(document, v.directives);
    put(values, std::move(value));
  }
  return values;
}

void ViewBuilder::add_directives() {
  for (const auto& [document, definition, range] : source_.directives) {
    DirectiveDef directive;
    directive.name = definition->name.text;
    directive.description = definition->description;
    directive.repeatable = definition->repeatable;
    for (const auto& location : definition->names) directive.locations.emplace_back(location.text);
    directive.args = input_values(*document, definition->input_values);
    view_->directives_.emplace(directive.name, std::move(directive));
  }
}

bool ViewBuilder::drop_unknown(std::vector<InputValueDef>& values) const {
  return std::erase_if(values, [&](const auto& v) { return view_->find_type(v.type.name) == nullptr; }) > 0;
}

// True when something was dropped.
bool ViewBuilder::drop_unknown(TypeDef& type) const {
  const auto unknown = [&](const std::string& name) { return view_->find_type(name) == nullptr; };
  bool dropped = std::erase_if(type.fields, [&](const auto& f) { return unknown(f.type.name); }) > 0;
  for (auto& field : type.fields) dropped |= drop_unknown(field.args);
  dropped |= drop_unknown(type.input_fields);
  dropped |= std::erase_if(type.interfaces, unknown) > 0;
  dropped |= std::erase_if(type.possible_types, unknown) > 0;
  return dropped;
}

void ViewBuilder::close() {
  const auto settle = [&] {
    for (bool changed = true; changed;) {
      changed = std::erase_if(view_->types_, [](const auto& entry) { return is_empty(entry.second); }) > 0;
      for (auto& [name, type] : view_->types_) changed |= drop_unknown(type);
    }
  };
  settle();
  drop_unreachable();
  settle();  // what is left names nothing that went, but an interface may have lost members
  for (auto& [name, directive] : view_->directives_) drop_unknown(directive.args);
  for (auto& [name, type] : view_->types_) std::sort(type.possible_types.begin(), type.possible_types.end());
}

void ViewBuilder::drop_unreachable() {
  std::map<std::string, bool, std::less<>> reached;
  std::deque<std::string> queue;
  const auto reach = [&](const std::string& name) {
    if (view_->find_type(name) != nullptr && reached.emplace(name, true).second) queue.push_back(name);
  };
  for (const auto& root : source_.root_names) reach(root);
  for (const auto& [name, directive] : view_->directives_)
    for (const auto& arg : directive.args) reach(arg.type.name);
  for (const auto& [name, type] : view_->types_)
    if (type.kind == TypeDef::Kind::scalar || type.is_builtin()) reach(name);
  while (!queue.empty()) {
    const TypeDef& type = *view_->find_type(queue.front());
    queue.pop_front();
    for (const auto& field : type.fields) {
      reach(field.type.name);
      for (const auto& arg : field.args) reach(arg.type.name);
    }
    for (const auto& field : type.input_fields) reach(field.type.name);
    for (const auto& name : type.interfaces) reach(name);
    for (const auto& name : type.possible_types) reach(name);
  }
  std::erase_if(view_->types_, [&](const auto& entry) { return !reached.contains(entry.first); });
}

// Pointers between the types, and then the values of defaults, once nothing moves any more.
void ViewBuilder::link() {
  view_->typename_field_ = meta_field("__typename", {"String", 0, 1});
  view_->schema_field_ = meta_field("__schema", {"__Schema", 0, 1});
  view_->type_field_ = meta_field("__type", {"__Type", 0, 0});
  InputValueDef name;
  name.name = "name";
  name.type = {"String", 0, 1};
  view_->type_field_.args.push_back(std::move(name));

  std::vector<InputValueDef*> inputs;
  const auto link_field = [&](FieldDef& field) {
    field.named_type = view_->find_type(field.type.name);
    for (auto& arg : field.args) inputs.push_back(&arg);
  };
  for (auto& [type_name, type] : view_->types_)
    for (auto& field : type.input_fields) inputs.push_back(&field);
  for (FieldDef* field : {&view_->typename_field_, &view_->schema_field_, &view_->type_field_}) link_field(*field);
  for (auto& [type_name, type] : view_->types_)
    for (auto& field : type.fields) link_field(field);
  for (auto& [directive_name, directive] : view_->directives_)
    for (auto& arg : directive.args) inputs.push_back(&arg);
  for (auto* input : inputs) input->named_type = view_->find_type(input->type.name);
  for (auto* input : inputs)
    if (input->has_default())
      coerce_literal(*input->default_literal, input->type, input->named_type, nullptr, input->default_value);
}

}  // namespace dagger::graphql
