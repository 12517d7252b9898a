#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

using ast::Definition;
using ast::Selection;

const TypeDef* composite(const SchemaView& view, std::string_view name) {
  const TypeDef* type = view.find_type(name);
  return type != nullptr && type->is_composite() ? type : nullptr;
}

// The type that a selection's own set is on.
const TypeDef* inner_type(const Context& c, std::uint32_t row) {
  const Selection& s = c.doc.selections[row];
  if (s.kind == Selection::Kind::inline_fragment)
    return s.name.text.empty() ? c.parent_type[row] : composite(c.view, s.name.text);
  const FieldDef* field = c.field[row];
  return field != nullptr && field->named_type->is_composite() ? field->named_type : nullptr;
}

bool overlap(const SchemaView& view, const TypeDef& a, const TypeDef& b) {
  if (&a == &b) return true;
  if (!a.is_abstract()) return b.can_be(a.name);
  if (!b.is_abstract()) return a.can_be(b.name);
  return std::any_of(a.possible_types.begin(), a.possible_types.end(),
                     [&](const auto& name) { return view.find_type(name) != nullptr && b.can_be(name); });
}

void check_condition(Context& c, const ast::Name& condition, const std::string& subject) {
  const TypeDef* type = c.view.find_type(condition.text);
  if (type == nullptr)
    c.report("Unknown type " + quoted(condition.text) + ".", {condition.at});
  else if (!type->is_composite())
    c.report(subject + " cannot condition on non composite type " + quoted(condition.text) + ".", {condition.at});
}

void check_spread(Context& c, std::uint32_t row) {
  const Selection& s = c.doc.selections[row];
  const bool named = s.kind == Selection::Kind::spread;
  const TypeDef* type = nullptr;
  if (named) {
    const auto it = c.fragments.find(s.name.text);
    if (it == c.fragments.end()) return c.report("Unknown fragment " + quoted(s.name.text) + ".", {s.name.at});
    type = composite(c.view, c.doc.definitions[it->second].type_condition.text);
  } else if (!s.name.text.empty()) {
    check_condition(c, s.name, "Fragment");
    type = composite(c.view, s.name.text);
  }
  const TypeDef* parent = c.parent_type[row];
  if (type == nullptr || parent == nullptr || overlap(c.view, *parent, *type)) return;
  c.report((named ? "Fragment " + quoted(s.name.text) : std::string("Fragment")) +
               " cannot be spread here as objects of type " + quoted(parent->name) + " can never be of type " +
               quoted(type->name) + ".",
           {s.at});
}

void check_field(Context& c, std::uint32_t row) {
  const Selection& s = c.doc.selections[row];
  const TypeDef* parent = c.parent_type[row];
  if (parent == nullptr) return;
  const FieldDef* field = c.field[row];
  const std::string name(s.name.text);
  if (field == nullptr)
    return c.report("Cannot query field " + quoted(name) + " on type " + quoted(parent->name) + ".", {s.at});
  const bool leaf = field->named_type->is_leaf();
  if (leaf && s.has_set)
    c.report("Field " + quoted(name) + " must not have a selection since type " + quoted(field->type.text()) +
                 " has no subfields.",
             {c.doc.selections[row].set_at});
  if (!leaf && !s.has_set)
    c.report("Field " + quoted(name) + " of type " + quoted(field->type.text()) +
                 " must have a selection of subfields. Did you mean \"" + name + " { ... }\"?",
             {s.at});
}

}  // namespace

void resolve_types(Context& c) {
  const auto& doc = c.doc;
  c.parent_type.resize(doc.selections.size());
  c.field.resize(doc.selections.size());
  c.spreads.resize(doc.definitions.size());
  c.uses.resize(doc.definitions.size());
  for (std::uint32_t i = 0; i < doc.definitions.size(); ++i)
    if (doc.definitions[i].kind == Definition::Kind::fragment) c.fragments.emplace(doc.definitions[i].name.text, i);
  for (std::uint32_t row = 0; row < doc.selections.size(); ++row) {
    const Selection& s = doc.selections[row];
    const Definition& d = doc.definitions[s.definition];
    if (s.parent != ast::none)
      c.parent_type[row] = inner_type(c, s.parent);
    else
      c.parent_type[row] = d.is_operation() ? c.view.root(d.kind) : composite(c.view, d.type_condition.text);
    if (s.kind == Selection::Kind::field && c.parent_type[row] != nullptr)
      c.field[row] = c.view.find_field(*c.parent_type[row], s.name.text);
    if (s.kind == Selection::Kind::spread) c.spreads[s.definition].push_back(row);
  }
}

void check_fields(Context& c) {
  for (const auto& d : c.doc.definitions)
    if (d.kind == Definition::Kind::fragment) check_condition(c, d.type_condition, "Fragment " + quoted(d.name.text));
  for (std::uint32_t row = 0; row < c.doc.selections.size() && !c.full(); ++row) {
    if (c.doc.selections[row].kind == Selection::Kind::field)
      check_field(c, row);
    else
      check_spread(c, row);
  }
}

}  // namespace dagger::graphql::validation
