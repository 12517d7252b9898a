#include "core/graphql/variables.h"

#include <unordered_map>

#include "core/graphql/literal.h"

namespace dagger::graphql {
namespace {

class Coercer {
 public:
  Coercer(const SchemaView& view, const ast::Variable& variable, std::size_t max_errors,
          std::vector<ResponseError>& errors)
      : view_(view), variable_(variable), max_errors_(max_errors), errors_(errors) {}

  Value coerce(const Value& value, const TypeRef& type, const std::string& path) {
    if (value.is_null()) {
      if (type.is_non_null()) fail(value, path, "Expected non-nullable type \"" + type.text() + "\" not to be null.");
      return {};
    }
    if (type.is_list()) return list(value, type, path);
    const TypeDef& named = *view_.find_type(type.name);
    if (named.kind == TypeDef::Kind::input) return input_object(value, named, path);
    Value out;
    if (const std::string reason = coerce_leaf_value(value, named, out); !reason.empty()) fail(value, path, reason);
    return out;
  }

 private:
  Value list(const Value& value, const TypeRef& type, const std::string& path) {
    const TypeRef item = type.item();
    Value::List items;
    if (const auto* given = value.as_list())
      for (std::size_t i = 0; i < given->size() && errors_.size() <= max_errors_; ++i)
        items.push_back(coerce((*given)[i], item, path + "[" + std::to_string(i) + "]"));
    else
      items.push_back(coerce(value, item, path));
    return items;
  }

  Value input_object(const Value& value, const TypeDef& type, const std::string& path) {
    const auto* members = value.as_map();
    if (members == nullptr) {
      fail(value, path, "Expected type \"" + type.name + "\" to be an object.");
      return {};
    }
    Value result{Value::Map{}};
    for (const auto& field : type.input_fields) {
      if (const Value* member = value.find(field.name))
        result.set(field.name, coerce(*member, field.type, path + "." + field.name));
      else if (field.has_default())
        result.set(field.name, field.default_value);
      else if (field.type.is_non_null())
        fail(value, path,
             "Field \"" + field.name + "\" of required type \"" + field.type.text() + "\" was not provided.");
    }
    for (const auto& [name, member] : *members)
      if (type.find_input_field(name) == nullptr)
        fail(value, path, "Field \"" + name + "\" is not defined by type \"" + type.name + "\".");
    if (type.one_of) one_of(value, result, type, path);
    return result;
  }

  void one_of(const Value& value, const Value& result, const TypeDef& type, const std::string& path) {
    const auto& members = *result.as_map();
    if (members.size() != 1)
      fail(value, path, "Exactly one key must be specified for OneOf type \"" + type.name + "\".");
    else if (members.front().second.is_null())
      fail({}, path + "." + members.front().first, "Field \"" + members.front().first + "\" must be non-null.");
  }

  void fail(const Value& value, const std::string& path, const std::string& reason) {
    if (errors_.size() > max_errors_) return;
    const std::string name(variable_.name.text);
    std::string message = "Variable \"$" + name + "\" got invalid value " + inspect(value);
    if (!path.empty()) message += " at \"" + name + path + "\"";
    errors_.push_back({.message = message + "; " + reason, .locations = {variable_.at}});
  }

  const SchemaView& view_;
  const ast::Variable& variable_;
  std::size_t max_errors_;
  std::vector<ResponseError>& errors_;
};

// Undoes the second encoding of clients that send the variables as a JSON text.
Value decoded(const Value& given) {
  const std::string* text = given.as_string();
  if (text == nullptr) return given;
  if (text->empty()) return {};
  try {
    return from_json_text(*text);
  } catch (const Error& e) {
    throw RequestError({{.message = std::string("variables are ") + e.what()}});
  }
}

}  // namespace

Value coerce_variables(const Prepared& prepared, const ast::Definition& operation, const Value& given) {
  const Value variables = decoded(given);
  if (!variables.is_null() && variables.as_map() == nullptr)
    throw RequestError(
        {{.message = "Variables must be provided as an Object where each property is a variable name."}});
  std::unordered_map<std::string_view, const Value*> by_name;
  if (const auto* members = variables.as_map())
    for (const auto& [name, value] : *members) by_name.emplace(name, &value);
  std::vector<ResponseError> errors;
  Value result{Value::Map{}};
  for (const auto& variable : operation.variables) {
    const std::string name(variable.name.text);
    const auto found = by_name.find(name);
    const Value* value = found == by_name.end() ? nullptr : found->second;
    if (value == nullptr && variable.has_default) {
      Value out;
      coerce_literal(variable.default_value, variable.type, prepared.view->find_type(variable.type.name), nullptr, out);
      result.set(name, std::move(out));
    } else if (variable.type.is_non_null() && (value == nullptr || value->is_null())) {
      const std::string type = variable.type.text();
      errors.push_back(
          {.message = value == nullptr
                          ? "Variable \"$" + name + "\" of required type \"" + type + "\" was not provided."
                          : "Variable \"$" + name + "\" of non-null type \"" + type + "\" must not be null.",
           .locations = {variable.at}});
    } else if (value != nullptr) {
      Coercer coercer(*prepared.view, variable, prepared.limits.errors, errors);
      result.set(name, coercer.coerce(*value, variable.type, ""));
    }
    if (errors.size() > prepared.limits.errors) {
      errors.push_back({.message = "Too many errors processing variables, error limit reached. Execution aborted."});
      break;
    }
  }
  if (!errors.empty()) throw RequestError(std::move(errors));
  return result;
}

const ast::Definition& select_operation(const Prepared& prepared, std::string_view name) {
  const ast::Definition* found = nullptr;
  for (const auto& definition : prepared.document->definitions) {
    if (!definition.is_operation() || (!name.empty() && definition.name.text != name)) continue;
    if (found != nullptr)
      throw RequestError({{.message = "Must provide operation name if query contains multiple operations."}});
    found = &definition;
  }
  if (found == nullptr)
    throw RequestError({{.message = name.empty() ? std::string("Must provide an operation.")
                                                 : "Unknown operation named \"" + std::string(name) + "\"."}});
  return *found;
}

}  // namespace dagger::graphql
