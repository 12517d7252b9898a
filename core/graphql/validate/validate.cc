#include "core/graphql/validate.h"

#include <algorithm>
#include <tuple>

#include "core/graphql/validate/context.h"

namespace dagger::graphql {

std::vector<ResponseError> validate(const SchemaView& view, const ast::Document& document, const Limits& limits) {
  validation::Context c{.view = view, .doc = document, .limits = limits};
  validation::resolve_types(c);
  validation::check_definitions(c);
  validation::check_fields(c);
  validation::check_arguments(c);
  const std::size_t before = c.errors.size();
  validation::check_fragment_cycles(c);
  const bool acyclic = c.errors.size() == before;
  validation::check_variables(c);
  if (acyclic) validation::check_overlaps(c);
  std::sort(c.errors.begin(), c.errors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.locations, a.message) < std::tie(b.locations, b.message);
  });
  if (c.full()) {
    c.errors.resize(limits.errors);
    c.errors.push_back({.message = "Too many validation errors, error limit reached. Validation aborted."});
  }
  return std::move(c.errors);
}

}  // namespace dagger::graphql
