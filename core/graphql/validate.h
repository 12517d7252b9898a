// core/graphql/validate.h — the validation rules of the specification (section 5) for executable documents, with the
// messages and locations of graphql-js (without its suggestions). A pure function; its time is bounded by the size of
// the document, its stack by a constant.
//
// Two rules are more lenient than the specification: scalars whose names end in ID may stand for each other in
// variables (same_scalar()), and an enum value may be quoted (Limits::quoted_enum_values). Int is of 64 bits.
#pragma once
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/error.h"
#include "core/graphql/limits.h"
#include "core/graphql/schema_view.h"

namespace dagger::graphql {

std::vector<ResponseError> validate(const SchemaView& view, const ast::Document& document, const Limits& limits);

}  // namespace dagger::graphql
