#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

using ast::Definition;
using ast::Variable;

bool fits(const TypeRef& given, const TypeRef& expected) {
  return given.depth == expected.depth && (expected.non_null & ~given.non_null) == 0 &&
         same_scalar(given.name, expected.name);
}

bool allowed(const Variable& variable, const VariableUse& use) {
  if (use.type->is_non_null() && !variable.type.is_non_null()) {
    const bool default_helps = variable.has_default && variable.default_value.kind != ast::Literal::Kind::null;
    return (default_helps || use.has_default) && fits(variable.type, use.type->nullable());
  }
  return fits(variable.type, *use.type);
}

void check_use(Context& c, const Definition& operation, const Variable* variable, const VariableUse& use) {
  const std::string name = "\"$" + std::string(use.name) + "\"";
  if (variable == nullptr) {
    const std::string where = operation.name.text.empty() ? "" : " by operation " + quoted(operation.name.text);
    return c.report("Variable " + name + " is not defined" + where + ".", {use.at, operation.at});
  }
  const TypeDef* type = c.view.find_type(variable->type.name);
  if (!use.type || type == nullptr) return;
  if (!allowed(*variable, use))
    c.report("Variable " + name + " of type " + quoted(variable->type.text()) + " used in position expecting type " +
                 quoted(use.type->text()) + ".",
             {variable->at, use.at});
  if (use.one_of != nullptr && !variable->type.is_non_null())
    c.report("Variable " + name + " is of type " + quoted(variable->type.text()) +
                 " but must be non-nullable to be used for OneOf Input Object " + quoted(use.one_of->name) + ".",
             {variable->at, use.at});
}

void check_operation(Context& c, std::uint32_t index) {
  const Definition& operation = c.doc.definitions[index];
  std::unordered_map<std::string_view, const Variable*> declared;
  for (const auto& v : operation.variables) declared[v.name.text] = &v;
  std::unordered_set<std::string_view> used;
  auto definitions = c.reachable(index);
  definitions.insert(definitions.begin(), index);
  for (const auto definition : definitions) {
    if (c.full()) return;
    for (const auto& use : c.uses[definition]) {
      const auto it = declared.find(use.name);
      used.insert(use.name);
      check_use(c, operation, it == declared.end() ? nullptr : it->second, use);
    }
  }
  for (const auto& v : operation.variables) {
    if (used.contains(v.name.text)) continue;
    const std::string where = operation.name.text.empty() ? "" : " in operation " + quoted(operation.name.text);
    c.report("Variable \"$" + std::string(v.name.text) + "\" is never used" + where + ".", {v.at});
  }
}

}  // namespace

void check_variables(Context& c) {
  for (std::uint32_t i = 0; i < c.doc.definitions.size() && !c.full(); ++i)
    if (c.doc.definitions[i].is_operation()) check_operation(c, i);
}

}  // namespace dagger::graphql::validation
