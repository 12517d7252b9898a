// core/graphql/schema_check.h — internal: the rules of the specification for a schema as a whole, on one view.
#pragma once
#include <string>
#include <vector>

#include "core/graphql/schema_view.h"

namespace dagger::graphql {

std::vector<std::string> check_view(const SchemaView& view);

// Whether an output of type `sub` can stand where `super` is expected (covariant).
bool is_subtype(const SchemaView& view, const TypeRef& sub, const TypeRef& super);

}  // namespace dagger::graphql
