#include "core/graphql/resolvers.h"

#include <set>

#include "core/graphql/introspection.h"

namespace dagger::graphql {

const Value& ResolveCall::arg(std::string_view name) const {
  static const Value absent;  // immutable, for the reference
  const Value* value = args->find(name);
  return value == nullptr ? absent : *value;
}

bool ResolveCall::selects(std::string_view field_name) const {
  const auto& doc = *prepared->document;
  std::set<std::string_view> spread;
  std::vector<std::uint32_t> open;
  for (const auto row : *selections) open.push_back(doc.selections[row].first);
  while (!open.empty()) {
    std::uint32_t row = open.back();
    open.pop_back();
    for (; row != ast::none; row = doc.selections[row].next) {
      const auto& s = doc.selections[row];
      if (s.kind == ast::Selection::Kind::field) {
        if (s.name.text == field_name) return true;
      } else if (s.kind == ast::Selection::Kind::inline_fragment) {
        open.push_back(s.first);
      } else if (spread.insert(s.name.text).second) {
        open.push_back(doc.definitions[prepared->fragments.at(s.name.text)].first);
      }
    }
  }
  return false;
}

FieldError to_field_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const FieldError& e) {
    return e;
  } catch (const Error& e) {
    return FieldError(e.what());
  } catch (const std::exception& e) {
    return FieldError(std::string("internal error: ") + e.what());
  } catch (...) {
    return FieldError("internal error: unknown exception");
  }
}

void Completion::fail(const std::exception_ptr& error) const { fail(to_field_error(error)); }

void Completion::Slot::answer(std::variant<Value, FieldError> result) {
  if (answered) return;
  answered = true;
  if (const auto target = sink.lock()) target->complete(node, std::move(result));
}

Completion::Slot::~Slot() {
  if (!answered) answer(FieldError("internal error: the resolver gave no answer"));
}

Resolvers::Resolvers() { add_introspection(*this); }

void Resolvers::field(std::string type, std::string field, Later function) {
  add(std::move(type), std::move(field), std::move(function));
}
void Resolvers::value(std::string type, std::string field, AtOnce function) {
  add(std::move(type), std::move(field), std::move(function));
}

void Resolvers::add(std::string type, std::string field, Function function) {
  functions_[std::move(type)].insert_or_assign(std::move(field), std::move(function));
}

const Resolvers::Function* Resolvers::find(std::string_view type, std::string_view field) const {
  const auto table = functions_.find(type);
  if (table == functions_.end()) return nullptr;
  const auto function = table->second.find(field);
  return function == table->second.end() ? nullptr : &function->second;
}

std::vector<std::string> Resolvers::check(Schema& schema) const {
  std::vector<std::string> problems = schema.problems();
  const auto view = schema.view();
  for (const auto& [name, type] : view->types())
    if (type.kind == TypeDef::Kind::object)
      for (const auto& f : type.fields)
        if (find(name, f.name) == nullptr) problems.push_back("field " + name + "." + f.name + " has no resolver");
  std::set<std::string> surplus;
  for (const auto& [type_name, table] : functions_)
    for (const auto& [field_name, function] : table) {
      const TypeDef* type = view->find_type(type_name);
      if (type == nullptr || type->kind != TypeDef::Kind::object || view->find_field(*type, field_name) == nullptr)
        surplus.insert("resolver " + type_name + "." + field_name + " has no field in the schema");
    }
  problems.insert(problems.end(), surplus.begin(), surplus.end());
  return problems;
}

}  // namespace dagger::graphql
