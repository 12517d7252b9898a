#include "core/graphql/schema_check.h"

#include <algorithm>

#include "core/graphql/literal.h"

namespace dagger::graphql {
namespace {

void check_implements(const SchemaView& view, const TypeDef& type, const TypeDef& interface,
                      std::vector<std::string>& problems) {
  for (const auto& wanted : interface.fields) {
    const std::string where = type.name + "." + wanted.name;
    const FieldDef* field = type.find_field(wanted.name);
    if (field == nullptr) {
      problems.push_back(where + " is missing, but " + interface.name + " has it");
      continue;
    }
    if (!is_subtype(view, field->type, wanted.type))
      problems.push_back(where + " is " + field->type.text() + ", but " + interface.name + " says " +
                         wanted.type.text());
    for (const auto& arg : wanted.args) {
      const InputValueDef* own = field->find_arg(arg.name);
      if (own == nullptr || own->type != arg.type)
        problems.push_back(where + " must take " + arg.name + ": " + arg.type.text() + ", as in " + interface.name);
    }
    for (const auto& arg : field->args)
      if (arg.is_required() && wanted.find_arg(arg.name) == nullptr)
        problems.push_back(where + " may not require " + arg.name + ", which " + interface.name + " lacks");
  }
}

void check_defaults(const std::string& where, const std::vector<InputValueDef>& values,
                    std::vector<std::string>& problems) {
  for (const auto& value : values) {
    Value ignored;
    if (value.has_default() && !coerce_literal(*value.default_literal, value.type, value.named_type, nullptr, ignored))
      problems.push_back(where + "(" + value.name + ":) has a default that is no " + value.type.text());
  }
}

}  // namespace

bool is_subtype(const SchemaView& view, const TypeRef& sub, const TypeRef& super) {
  if (sub.depth != super.depth || (super.non_null & ~sub.non_null) != 0) return false;
  if (sub.name == super.name) return true;
  const TypeDef* abstract = view.find_type(super.name);
  const TypeDef* concrete = view.find_type(sub.name);
  if (abstract == nullptr || concrete == nullptr) return false;
  const auto& interfaces = concrete->interfaces;
  return abstract->can_be(sub.name) || std::find(interfaces.begin(), interfaces.end(), super.name) != interfaces.end();
}

std::vector<std::string> check_view(const SchemaView& view) {
  std::vector<std::string> problems;
  for (const auto& [name, type] : view.types()) {
    for (const auto& interface_name : type.interfaces) {
      const TypeDef* interface = view.find_type(interface_name);
      if (interface->kind != TypeDef::Kind::interface)
        problems.push_back(name + " implements " + interface_name + ", which is no interface");
      else
        check_implements(view, type, *interface, problems);
    }
    for (const auto& field : type.fields) check_defaults(name + "." + field.name, field.args, problems);
    check_defaults(name, type.input_fields, problems);
    if (type.kind == TypeDef::Kind::union_type)
      for (const auto& member : type.possible_types)
        if (view.find_type(member)->kind != TypeDef::Kind::object)
          problems.push_back("union " + name + " holds " + member + ", which is no object type");
  }
  if (view.root(ast::Definition::Kind::query) == nullptr) problems.push_back("the view has no query type");
  return problems;
}

}  // namespace dagger::graphql
