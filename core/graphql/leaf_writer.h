// core/graphql/leaf_writer.h — internal: what resolvers return for scalars and enums, as JSON of the field's type.
#pragma once
#include <cstdint>
#include <string>

#include "core/graphql/schema_view.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

// Appends; throws FieldError when the value is none of the type's.
void write_leaf(const Value& value, const TypeDef& type, std::string& out);

// A string that takes long to write, for a type that holds any string: left to Response::to_json().
bool is_long_text(const Value& value, const TypeDef& type);

// Appends a list that holds no null and nothing wrong; `depth` is the number of lists within. False, with rubbish in
// `out`, when some item needs a path of its own (an error, or a null).
bool write_leaf_list(const Value::List& items, const TypeDef& type, std::uint32_t depth, std::string& out);

}  // namespace dagger::graphql
