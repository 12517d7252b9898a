#include "core/graphql/introspection.h"

#include <utility>

#include "core/graphql/literal.h"
#include "core/graphql/resolvers.h"

namespace dagger::graphql {
namespace {

using View = std::shared_ptr<const SchemaView>;

// An element of a view, kept alive by it.
template <class T>
struct Of {
  View view;
  const T* element;
};
struct TypeInView {
  View view;
  TypeRef type;
};

template <class T>
Value object(const char* type, const View& view, const T& element) {
  return Object(type, std::make_shared<Of<T>>(Of<T>{view, &element}));
}
Value type_object(const View& view, TypeRef type) {
  return Object("__Type", std::make_shared<TypeInView>(TypeInView{view, std::move(type)}));
}

template <class Items>
Value objects(const char* type, const View& view, const Items& items, bool with_deprecated) {
  Value::List list;
  for (const auto& item : items)
    if (with_deprecated || !item.deprecation) list.push_back(object(type, view, item));
  return list;
}

Value type_objects(const View& view, const std::vector<std::string>& names) {
  Value::List list;
  for (const auto& name : names) list.push_back(type_object(view, {name, 0, 0}));
  return list;
}

// Deprecated arguments and input fields are always listed, whatever includeDeprecated says: Python SDKs build their
// queries from an introspection that does not ask for them, and could not send e.g. container(id:) otherwise.
Value inputs(const View& view, const std::vector<InputValueDef>& values) {
  return objects("__InputValue", view, values, true);
}

bool include_deprecated(const ResolveCall& call) {
  const bool* wanted = call.arg("includeDeprecated").as_bool();
  return wanted != nullptr && *wanted;
}

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }
Value optional_text(const std::optional<std::string>& text) { return text ? Value(*text) : Value(); }

const char* kind_name(TypeDef::Kind kind) {
  switch (kind) {
    case TypeDef::Kind::scalar:
      return "SCALAR";
    case TypeDef::Kind::object:
      return "OBJECT";
    case TypeDef::Kind::interface:
      return "INTERFACE";
    case TypeDef::Kind::union_type:
      return "UNION";
    case TypeDef::Kind::enum_type:
      return "ENUM";
    case TypeDef::Kind::input:
      return "INPUT_OBJECT";
  }
  return "";
}

void add_schema(Resolvers& r) {
  const auto add = [&](const char* field, auto resolve) {
    r.value("__Schema", field, [resolve](const ResolveCall& call) { return resolve(call.parent.as<View>()); });
  };
  const auto root = [](ast::Definition::Kind kind) {
    return [kind](const View& view) {
      const TypeDef* type = view->root(kind);
      return type == nullptr ? Value() : type_object(view, {type->name, 0, 0});
    };
  };
  add("description", [](const View& view) { return text_or_null(view->description()); });
  add("queryType", root(ast::Definition::Kind::query));
  add("mutationType", root(ast::Definition::Kind::mutation));
  add("subscriptionType", root(ast::Definition::Kind::subscription));
  add("types", [](const View& view) {
    Value::List list;
    for (const auto& [name, type] : view->types()) list.push_back(type_object(view, {name, 0, 0}));
    return Value(std::move(list));
  });
  add("directives", [](const View& view) {
    Value::List list;
    for (const auto& [name, directive] : view->directives()) list.push_back(object("__Directive", view, directive));
    return Value(std::move(list));
  });
}

void add_type(Resolvers& r) {
  // What only named types have is null for lists and non-nulls.
  const auto add = [&](const char* field, auto resolve) {
    r.value("__Type", field, [resolve](const ResolveCall& call) {
      const auto& [view, type] = call.parent.as<TypeInView>();
      const TypeDef* named = type.depth == 0 && type.non_null == 0 ? view->find_type(type.name) : nullptr;
      return named == nullptr ? Value() : Value(resolve(call, view, *named));
    });
  };
  r.value("__Type", "kind", [](const ResolveCall& call) {
    const auto& [view, type] = call.parent.as<TypeInView>();
    const char* name = type.is_non_null() ? "NON_NULL"
                       : type.is_list()   ? "LIST"
                                          : kind_name(view->find_type(type.name)->kind);
    return Value(Value::Enum{name});
  });
  r.value("__Type", "ofType", [](const ResolveCall& call) {
    const auto& [view, type] = call.parent.as<TypeInView>();
    if (type.is_non_null()) return type_object(view, type.nullable());
    return type.is_list() ? type_object(view, type.item()) : Value();
  });
  add("name", [](const ResolveCall&, const View&, const TypeDef& type) { return type.name; });
  add("description",
      [](const ResolveCall&, const View&, const TypeDef& type) { return text_or_null(type.description); });
  add("specifiedByURL",
      [](const ResolveCall&, const View&, const TypeDef& type) { return text_or_null(type.specified_by_url); });
  add("fields", [](const ResolveCall& call, const View& view, const TypeDef& type) {
    const bool has = type.kind == TypeDef::Kind::object || type.kind == TypeDef::Kind::interface;
    return has ? objects("__Field", view, type.fields, include_deprecated(call)) : Value();
  });
  add("interfaces", [](const ResolveCall&, const View& view, const TypeDef& type) {
    const bool has = type.kind == TypeDef::Kind::object || type.kind == TypeDef::Kind::interface;
    return has ? type_objects(view, type.interfaces) : Value();
  });
  add("possibleTypes", [](const ResolveCall&, const View& view, const TypeDef& type) {
    return type.is_abstract() ? type_objects(view, type.possible_types) : Value();
  });
  add("enumValues", [](const ResolveCall& call, const View& view, const TypeDef& type) {
    if (type.kind != TypeDef::Kind::enum_type) return Value();
    return objects("__EnumValue", view, type.enum_values, include_deprecated(call));
  });
  add("inputFields", [](const ResolveCall&, const View& view, const TypeDef& type) {
    return type.kind == TypeDef::Kind::input ? inputs(view, type.input_fields) : Value();
  });
  add("isOneOf", [](const ResolveCall&, const View&, const TypeDef& type) {
    return type.kind == TypeDef::Kind::input ? Value(type.one_of) : Value();
  });
}

template <class T>
void add_element(Resolvers& r, const char* type) {
  const auto add = [&](const char* field, auto resolve) {
    r.value(type, field, [resolve](const ResolveCall& call) {
      const auto& [view, element] = call.parent.as<Of<T>>();
      return Value(resolve(view, *element));
    });
  };
  add("name", [](const View&, const T& e) { return e.name; });
  add("description", [](const View&, const T& e) { return text_or_null(e.description); });
  if constexpr (requires(const T& e) { e.deprecation; }) {
    add("isDeprecated", [](const View&, const T& e) { return e.deprecation.has_value(); });
    add("deprecationReason", [](const View&, const T& e) { return optional_text(e.deprecation); });
  }
  if constexpr (requires(const T& e) { e.type; })
    add("type", [](const View& view, const T& e) { return type_object(view, e.type); });
  if constexpr (requires(const T& e) { e.args; })
    add("args", [](const View& view, const T& e) { return inputs(view, e.args); });
  if constexpr (requires(const T& e) { e.default_literal; })
    add("defaultValue",
        [](const View&, const T& e) { return e.has_default() ? Value(print(*e.default_literal)) : Value(); });
  if constexpr (requires(const T& e) { e.repeatable; }) {
    add("isRepeatable", [](const View&, const T& e) { return e.repeatable; });
    add("locations", [](const View&, const T& e) {
      Value::List list;
      for (const auto& location : e.locations) list.emplace_back(Value::Enum{location});
      return list;
    });
  }
}

}  // namespace

void add_introspection(Resolvers& resolvers) {
  add_schema(resolvers);
  add_type(resolvers);
  add_element<FieldDef>(resolvers, "__Field");
  add_element<InputValueDef>(resolvers, "__InputValue");
  add_element<EnumValueDef>(resolvers, "__EnumValue");
  add_element<DirectiveDef>(resolvers, "__Directive");
}

Value introspect_schema(std::shared_ptr<const SchemaView> view) {
  return Object("__Schema", std::make_shared<View>(std::move(view)));
}

Value introspect_type(const std::shared_ptr<const SchemaView>& view, std::string_view name) {
  return view->find_type(name) == nullptr ? Value() : type_object(view, {std::string(name), 0, 0});
}

}  // namespace dagger::graphql
