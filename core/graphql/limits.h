// core/graphql/limits.h — how much one request may ask for. Every bound that keeps hostile input from costing more than
// its size is here; the defaults let a pipeline of 5,000 steps through in one query.
#pragma once
#include <cstddef>

namespace dagger::graphql {

struct Limits {
  std::size_t document_bytes = 32u << 20;
  std::size_t tokens = 1'000'000;
  std::size_t selection_depth = 8'000;  // nested selection sets, counted through fragments as well
  std::size_t value_depth = 32;         // nested list and object literals; must stay below max_value_depth
  std::size_t operations = 100;
  std::size_t fragments = 1'000;
  std::size_t variables = 1'000;         // of one operation
  std::size_t errors = 100;              // reported for one document
  std::size_t result_nodes = 1'000'000;  // fields and list items of one answer
  // Old Node SDKs write sharing: "LOCKED". Accepting the quotes breaks nobody.
  bool quoted_enum_values = true;
};

}  // namespace dagger::graphql
