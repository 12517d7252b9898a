// core/graphql/validate/context.h — internal: what the rules share. Rules walk the flat table of selections in document
// order, where a parent comes before its children, so none of them recurses over selections.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/error.h"
#include "core/graphql/limits.h"
#include "core/graphql/schema_view.h"

namespace dagger::graphql::validation {

// Where a variable is used, and what is expected there.
struct VariableUse {
  std::string_view name;
  Location at;
  std::optional<TypeRef> type;  // nothing where the place itself is wrong
  bool has_default = false;
  const TypeDef* one_of = nullptr;  // the OneOf input object it is a field of
};

struct Context {
  const SchemaView& view;
  const ast::Document& doc;
  const Limits& limits;

  std::vector<const TypeDef*> parent_type;  // of each selection: the type its set is on; null when unknown
  std::vector<const FieldDef*> field;       // of each selection that is a known field
  std::unordered_map<std::string_view, std::uint32_t> fragments;  // the first of each name
  std::vector<std::vector<VariableUse>> uses;                     // per definition
  std::vector<std::vector<std::uint32_t>> spreads;                // per definition: rows of selections
  std::vector<ResponseError> errors;

  void report(std::string message, std::vector<Location> at) {
    if (!full()) errors.push_back({.message = std::move(message), .locations = std::move(at)});
  }
  bool full() const { return errors.size() > limits.errors; }
  // The fragments a definition reaches, itself not included (unless it is in a cycle).
  std::vector<std::uint32_t> reachable(std::uint32_t definition) const;
};

inline std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

void resolve_types(Context& c);          // fills parent_type, field, fragments, spreads
void check_definitions(Context& c);      // operations, fragments, variables' declarations
void check_fields(Context& c);           // fields, spreads, leafs
void check_arguments(Context& c);        // arguments, directives, values; fills uses
void check_fragment_cycles(Context& c);  // and the depth through fragments
void check_variables(Context& c);        // defined, used, allowed where they are used
void check_overlaps(Context& c);         // fields that are merged

}  // namespace dagger::graphql::validation
