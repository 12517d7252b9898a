#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

using ast::Definition;
using Kind = Definition::Kind;

template <class Items, class NameOf, class Message>
void check_unique(Context& c, const Items& items, NameOf name_of, Message message) {
  std::unordered_map<std::string_view, Location> seen;
  for (const auto& item : items) {
    const ast::Name* name = name_of(item);
    if (name == nullptr || name->text.empty()) continue;
    const auto [first, fresh] = seen.emplace(name->text, name->at);
    if (!fresh) c.report(message(name->text), {first->second, name->at});
  }
}

void check_operations(Context& c) {
  const auto& all = c.doc.definitions;
  const auto operations = std::count_if(all.begin(), all.end(), [](const auto& d) { return d.is_operation(); });
  for (const auto& d : all) {
    if (!d.is_executable())
      c.report(d.kind == Kind::schema ? "The schema definition is not executable."
                                      : "The " + quoted(d.name.text) + " definition is not executable.",
               {d.at});
    if (!d.is_operation()) continue;
    if (d.name.text.empty() && operations > 1)
      c.report("This anonymous operation must be the only defined operation.", {d.at});
    static constexpr const char* words[] = {"query", "mutation", "subscription"};
    if (c.view.root(d.kind) == nullptr)
      c.report("The schema has no " + std::string(words[static_cast<int>(d.kind)]) + " root type.", {d.at});
  }
  check_unique(
      c, all, [](const Definition& d) { return d.is_operation() ? &d.name : nullptr; },
      [](std::string_view name) { return "There can be only one operation named " + quoted(name) + "."; });
  check_unique(
      c, all, [](const Definition& d) { return d.kind == Kind::fragment ? &d.name : nullptr; },
      [](std::string_view name) { return "There can be only one fragment named " + quoted(name) + "."; });
}

void check_variable_declarations(Context& c, const Definition& d) {
  check_unique(
      c, d.variables, [](const ast::Variable& v) { return &v.name; },
      [](std::string_view name) { return "There can be only one variable named \"$" + std::string(name) + "\"."; });
  for (const auto& v : d.variables) {
    const TypeDef* type = c.view.find_type(v.type.name);
    const Location name_at = {v.type_at.line, v.type_at.column + v.type.depth};
    if (type == nullptr)
      c.report("Unknown type " + quoted(v.type.name) + ".", {name_at});
    else if (!type->is_input())
      c.report("Variable \"$" + std::string(v.name.text) + "\" cannot be non-input type " + quoted(v.type.text()) + ".",
               {v.type_at});
  }
}

// Which fragments operations reach, and the recursion-free fields of a subscription's root.
void check_unused_fragments(Context& c) {
  std::unordered_set<std::string_view> used;
  for (std::uint32_t i = 0; i < c.doc.definitions.size(); ++i)
    if (c.doc.definitions[i].is_operation())
      for (const auto fragment : c.reachable(i)) used.insert(c.doc.definitions[fragment].name.text);
  for (const auto& d : c.doc.definitions)
    if (d.kind == Kind::fragment && !used.contains(d.name.text))
      c.report("Fragment " + quoted(d.name.text) + " is never used.", {d.at});
}

void check_subscription(Context& c, const Definition& d) {
  std::vector<std::pair<std::string_view, std::vector<Location>>> fields;
  std::vector<Location> introspection;
  std::unordered_set<std::string_view> spread;
  std::vector<std::uint32_t> open{d.first};
  while (!open.empty()) {
    const std::uint32_t row = open.back();
    if (row == ast::none) {
      open.pop_back();
      continue;
    }
    const auto& s = c.doc.selections[row];
    open.back() = s.next;
    if (s.kind == ast::Selection::Kind::inline_fragment) {
      open.push_back(s.first);
    } else if (s.kind == ast::Selection::Kind::spread) {
      const auto it = c.fragments.find(s.name.text);
      if (it != c.fragments.end() && spread.insert(s.name.text).second)
        open.push_back(c.doc.definitions[it->second].first);
    } else {
      auto it = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == s.response_name(); });
      if (it == fields.end()) it = fields.insert(fields.end(), {s.response_name(), {}});
      it->second.push_back(s.at);
      if (s.name.text.starts_with("__")) introspection.push_back(s.at);
    }
  }
  const std::string who = d.name.text.empty() ? "Anonymous Subscription" : "Subscription " + quoted(d.name.text);
  std::vector<Location> extra;
  for (std::size_t i = 1; i < fields.size(); ++i)
    extra.insert(extra.end(), fields[i].second.begin(), fields[i].second.end());
  if (!extra.empty()) c.report(who + " must select only one top level field.", std::move(extra));
  if (!introspection.empty())
    c.report(who + " must not select an introspection top level field.", std::move(introspection));
}

}  // namespace

std::vector<std::uint32_t> Context::reachable(std::uint32_t definition) const {
  std::vector<std::uint32_t> found;
  std::unordered_set<std::uint32_t> seen;
  std::vector<std::uint32_t> open{definition};
  while (!open.empty()) {
    const std::uint32_t at = open.back();
    open.pop_back();
    for (const auto row : spreads[at]) {
      const auto it = fragments.find(doc.selections[row].name.text);
      if (it == fragments.end() || !seen.insert(it->second).second) continue;
      found.push_back(it->second);
      open.push_back(it->second);
    }
  }
  return found;
}

void check_definitions(Context& c) {
  check_operations(c);
  for (const auto& d : c.doc.definitions) {
    check_variable_declarations(c, d);
    if (d.kind == Kind::subscription) check_subscription(c, d);
  }
  check_unused_fragments(c);
}

}  // namespace dagger::graphql::validation
