// core/graphql/literal.h — literals of a document as text and as values. Pure functions; recursion is bounded by
// Limits::value_depth.
#pragma once
#include <string>

#include "core/graphql/ast.h"
#include "core/graphql/schema_view.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

std::string print(const ast::Literal& literal);

// The value of a literal that was validated against `type`; `variables` (a map, or null) holds the coerced variables of
// the request. False when a variable leaves a non-null place without a value: the caller has an error to report.
bool coerce_literal(const ast::Literal& literal, const TypeRef& type, const TypeDef* named_type, const Value* variables,
                    Value& out);

// Coerces a leaf: the literal's or the variable's value for a scalar or an enum. Returns the reason, in graphql-js's
// words, when it cannot be; `out` may be null where only the check matters.
std::string coerce_leaf_literal(const ast::Literal& literal, const TypeDef& type, bool quoted_enum_values, Value* out);
std::string coerce_leaf_value(const Value& value, const TypeDef& type, Value& out);

}  // namespace dagger::graphql
