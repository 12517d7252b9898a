#include "core/graphql/plan.h"

#include <unordered_map>
#include <unordered_set>

#include "core/graphql/literal.h"

namespace dagger::graphql {

using ast::rows;
using Kind = ast::Selection::Kind;

bool Plan::included(const ast::Selection& selection) const {
  const auto& doc = *prepared_.document;
  for (const auto& d : rows(doc.directives, selection.directives)) {
    if (d.name.text != "skip" && d.name.text != "include") continue;
    const ast::Literal& condition = doc.arguments[d.arguments.begin].value;
    Value value;
    coerce_literal(condition, {"Boolean", 0, 1}, prepared_.view->find_type("Boolean"), &variables_, value);
    const bool holds = value.as_bool() != nullptr && *value.as_bool();
    if (holds == (d.name.text == "skip")) return false;
  }
  return true;
}

bool Plan::applies(std::string_view type_condition, const TypeDef& type) const {
  if (type_condition.empty()) return true;
  const TypeDef* wanted = prepared_.view->find_type(type_condition);
  return wanted != nullptr && wanted->can_be(type.name);
}

void Plan::coerce_arguments(PlannedField& field, const ast::Selection& selection) const {
  const auto& doc = *prepared_.document;
  auto args = std::make_shared<Value>(Value::Map{});
  for (const auto& def : field.def->args) {
    const ast::Argument* given = nullptr;
    for (const auto& argument : rows(doc.arguments, selection.arguments))
      if (argument.name.text == def.name) given = &argument;
    const bool absent = given == nullptr || (given->value.kind == ast::Literal::Kind::variable &&
                                             variables_.find(given->value.text) == nullptr);
    Value value;
    if (absent && def.has_default()) {
      value = def.default_value;
    } else if (absent && !def.type.is_non_null()) {
      continue;
    } else if (absent || !coerce_literal(given->value, def.type, def.named_type, &variables_, value)) {
      field.args_error = "Argument \"" + def.name + "\" of required type \"" + def.type.text() + "\" was " +
                         (absent ? "not provided." : "given a variable without a value.");
      field.args_error_at = given == nullptr ? selection.at : given->value.at;
      return;
    }
    args->set(def.name, std::move(value));
  }
  field.args = std::move(args);
}

std::vector<std::uint32_t> Plan::collect(const std::vector<std::uint32_t>& sets, const TypeDef& type) {
  const auto& doc = *prepared_.document;
  std::vector<std::vector<std::uint32_t>> merged;
  std::unordered_map<std::string_view, std::size_t> by_key;
  std::unordered_set<std::uint32_t> spread;
  for (const std::uint32_t set : sets) {
    std::vector<std::uint32_t> open{set};  // what is still to be read, innermost last
    while (!open.empty()) {
      const std::uint32_t row = open.back();
      if (row == ast::none) {
        open.pop_back();
        continue;
      }
      const auto& s = doc.selections[row];
      open.back() = s.next;
      if (!included(s)) continue;
      if (s.kind == Kind::field) {
        const auto [it, fresh] = by_key.emplace(s.response_name(), merged.size());
        if (fresh) merged.emplace_back();
        merged[it->second].push_back(row);
      } else if (s.kind == Kind::inline_fragment) {
        if (applies(s.name.text, type)) open.push_back(s.first);
      } else {
        const std::uint32_t fragment = prepared_.fragments.at(s.name.text);
        const auto& definition = doc.definitions[fragment];
        if (spread.insert(fragment).second && applies(definition.type_condition.text, type))
          open.push_back(definition.first);
      }
    }
  }
  if (fields_.size() + merged.size() > prepared_.limits.result_nodes)
    throw FieldError("the query asks for more than " + std::to_string(prepared_.limits.result_nodes) +
                     " fields; split it");
  std::vector<std::uint32_t> planned;
  for (auto& nodes : merged) {
    const auto& first = doc.selections[nodes.front()];
    planned.push_back(static_cast<std::uint32_t>(fields_.size()));
    PlannedField& field = fields_.emplace_back();
    field.key = first.response_name();
    field.def = prepared_.view->find_field(type, first.name.text);
    field.function = first.name.text.starts_with("__") ? nullptr : resolvers_.find(type.name, first.name.text);
    field.nodes = std::make_shared<const std::vector<std::uint32_t>>(std::move(nodes));
    coerce_arguments(field, first);
  }
  return planned;
}

std::vector<std::uint32_t> Plan::root(const ast::Definition& operation, const TypeDef& type) {
  return collect({operation.first}, type);
}

const std::vector<std::uint32_t>& Plan::below(std::uint32_t field, const TypeDef& type) {
  for (const auto& [known, planned] : fields_[field].children)
    if (known == &type) return planned;
  std::vector<std::uint32_t> sets;
  for (const std::uint32_t row : *fields_[field].nodes) sets.push_back(prepared_.document->selections[row].first);
  auto planned = collect(sets, type);
  return fields_[field].children.emplace_back(&type, std::move(planned)).second;
}

}  // namespace dagger::graphql
