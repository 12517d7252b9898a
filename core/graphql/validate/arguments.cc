#include "core/graphql/literal.h"
#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

using ast::Literal;
using ast::rows;

// Checks the values of one definition; what it does not know a type for it only searches for variables.
class Values {
 public:
  Values(Context& c, std::uint32_t definition) : c_(c), definition_(definition) {}

  void check(const Literal& v, const TypeRef* type, const TypeDef* named, bool has_default,
             const TypeDef* one_of = nullptr) {
    switch (v.kind) {
      case Literal::Kind::variable: {
        VariableUse use{.name = name_of(v), .at = v.at, .has_default = has_default, .one_of = one_of};
        if (type != nullptr) use.type = *type;
        c_.uses[definition_].push_back(std::move(use));
        return;
      }
      case Literal::Kind::null:
        if (type != nullptr && type->is_non_null()) unexpected(v, *type);
        return;
      case Literal::Kind::list:
        return list(v, type, named);
      case Literal::Kind::object:
        return object(v, type, named);
      default:
        leaf(v, type, named);
    }
  }

 private:
  // The literal owns its text, so a view of it lives as long as the document.
  static std::string_view name_of(const Literal& v) { return v.text; }

  void list(const Literal& v, const TypeRef* type, const TypeDef* named) {
    if (type != nullptr && !type->is_list()) {
      leaf(v, type, named);
      type = nullptr;
    }
    const TypeRef item = type == nullptr ? TypeRef{} : type->item();
    for (const auto& child : v.children) check(child, type == nullptr ? nullptr : &item, named, false);
  }

  void object(const Literal& v, const TypeRef* type, const TypeDef* named) {
    unique_fields(v);
    const bool known = type != nullptr && named->kind == TypeDef::Kind::input;
    if (!known) {
      if (type != nullptr) leaf(v, type, named);
      for (const auto& child : v.children) check(child, nullptr, nullptr, false);
      return;
    }
    for (const auto& field : named->input_fields) {
      const bool given = std::any_of(v.children.begin(), v.children.end(),
                                     [&](const auto& child) { return child.name.text == field.name; });
      if (!given && field.is_required())
        c_.report("Field \"" + named->name + "." + field.name + "\" of required type " + quoted(field.type.text()) +
                      " was not provided.",
                  {v.at});
    }
    if (named->one_of) check_one_of(v, *named);
    for (const auto& child : v.children) {
      const InputValueDef* field = named->find_input_field(child.name.text);
      if (field == nullptr) {
        c_.report("Field " + quoted(child.name.text) + " is not defined by type " + quoted(named->name) + ".",
                  {child.name.at});
        check(child, nullptr, nullptr, false);
      } else {
        check(child, &field->type, field->named_type, field->has_default(), named->one_of ? named : nullptr);
      }
    }
  }

  void check_one_of(const Literal& v, const TypeDef& type) {
    if (v.children.size() != 1)
      c_.report("OneOf Input Object " + quoted(type.name) + " must specify exactly one key.", {v.at});
    else if (v.children[0].kind == Literal::Kind::null)
      c_.report("Field \"" + type.name + "." + std::string(v.children[0].name.text) + "\" must be non-null.", {v.at});
  }

  void unique_fields(const Literal& v) {
    std::unordered_map<std::string_view, Location> seen;
    for (const auto& child : v.children) {
      const auto [first, fresh] = seen.emplace(child.name.text, child.name.at);
      if (!fresh)
        c_.report("There can be only one input field named " + quoted(child.name.text) + ".",
                  {first->second, child.name.at});
    }
  }

  void leaf(const Literal& v, const TypeRef* type, const TypeDef* named) {
    if (type == nullptr) return;
    if (!named->is_leaf()) return unexpected(v, *type);
    const std::string reason = coerce_leaf_literal(v, *named, c_.limits.quoted_enum_values, nullptr);
    if (!reason.empty()) c_.report(reason, {v.at});
  }

  void unexpected(const Literal& v, const TypeRef& type) {
    c_.report("Expected value of type " + quoted(type.text()) + ", found " + print(v) + ".", {v.at});
  }

  Context& c_;
  std::uint32_t definition_;
};

struct Callee {
  std::string subject;                     // Field "f" / Directive "@d", for a missing argument
  std::string place;                       // field "T.f" / directive "@d", for an unknown one
  const std::vector<InputValueDef>* args;  // null when the field or directive is unknown
  Location at;
};

void check_call(Context& c, std::uint32_t definition, ast::Range arguments, const Callee& callee) {
  std::unordered_map<std::string_view, Location> seen;
  Values values(c, definition);
  for (const auto& a : rows(c.doc.arguments, arguments)) {
    const auto [first, fresh] = seen.emplace(a.name.text, a.name.at);
    if (!fresh)
      c.report("There can be only one argument named " + quoted(a.name.text) + ".", {first->second, a.name.at});
    const InputValueDef* def = nullptr;
    if (callee.args != nullptr) {
      const auto it = std::find_if(callee.args->begin(), callee.args->end(),
                                   [&](const auto& candidate) { return candidate.name == a.name.text; });
      if (it != callee.args->end())
        def = &*it;
      else
        c.report("Unknown argument " + quoted(a.name.text) + " on " + callee.place + ".", {a.name.at});
    }
    values.check(a.value, def == nullptr ? nullptr : &def->type, def == nullptr ? nullptr : def->named_type,
                 def != nullptr && def->has_default());
  }
  if (callee.args == nullptr) return;
  for (const auto& def : *callee.args)
    if (def.is_required() && !seen.contains(def.name))
      c.report(callee.subject + " argument " + quoted(def.name) + " of type " + quoted(def.type.text()) +
                   " is required, but it was not provided.",
               {callee.at});
}

void check_directives(Context& c, std::uint32_t definition, ast::Range directives, std::string_view location) {
  std::unordered_map<std::string_view, Location> seen;
  for (const auto& d : rows(c.doc.directives, directives)) {
    const DirectiveDef* def = c.view.find_directive(d.name.text);
    const std::string name = "\"@" + std::string(d.name.text) + "\"";
    if (def == nullptr)
      c.report("Unknown directive " + name + ".", {d.at});
    else if (!def->allowed_on(location))
      c.report("Directive " + name + " may not be used on " + std::string(location) + ".", {d.at});
    const auto [first, fresh] = seen.emplace(d.name.text, d.at);
    if (!fresh && def != nullptr && !def->repeatable)
      c.report("The directive " + name + " can only be used once at this location.", {first->second, d.at});
    check_call(c, definition, d.arguments,
               {"Directive " + name, "directive " + name, def == nullptr ? nullptr : &def->args, d.at});
  }
}

void check_definition(Context& c, std::uint32_t index) {
  static constexpr std::string_view locations[] = {"QUERY", "MUTATION", "SUBSCRIPTION", "FRAGMENT_DEFINITION"};
  const auto& d = c.doc.definitions[index];
  if (!d.is_executable()) return;
  check_directives(c, index, d.directives, locations[static_cast<int>(d.kind)]);
  for (const auto& v : d.variables) {
    check_directives(c, index, v.directives, "VARIABLE_DEFINITION");
    const TypeDef* type = c.view.find_type(v.type.name);
    if (v.has_default && type != nullptr && type->is_input())
      Values(c, index).check(v.default_value, &v.type, type, false);
  }
}

}  // namespace

void check_arguments(Context& c) {
  for (std::uint32_t i = 0; i < c.doc.definitions.size(); ++i) check_definition(c, i);
  for (std::uint32_t row = 0; row < c.doc.selections.size() && !c.full(); ++row) {
    const auto& s = c.doc.selections[row];
    static constexpr std::string_view locations[] = {"FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"};
    check_directives(c, s.definition, s.directives, locations[static_cast<int>(s.kind)]);
    if (s.kind != ast::Selection::Kind::field) continue;
    const FieldDef* field = c.field[row];
    const std::string name(s.name.text);
    const std::string place = field == nullptr ? "" : "field \"" + c.parent_type[row]->name + "." + name + "\"";
    check_call(c, s.definition, s.arguments,
               {"Field " + quoted(name), place, field == nullptr ? nullptr : &field->args, s.at});
  }
}

}  // namespace dagger::graphql::validation
