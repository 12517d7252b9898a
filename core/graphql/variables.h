// core/graphql/variables.h — the variables of a request against what its operation declares. Pure.
#pragma once
#include "core/graphql/prepare.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

// A map of the coerced variables: those given, and defaults. `given` is a map, null, or a JSON text of either (some
// clients encode twice). Throws RequestError with every variable that does not fit.
Value coerce_variables(const Prepared& prepared, const ast::Definition& operation, const Value& given);

// The operation to run: by name, or the only one; "" means no name. Throws RequestError.
const ast::Definition& select_operation(const Prepared& prepared, std::string_view name);

}  // namespace dagger::graphql
