// tests/support/digested_ops.h — ops as a graph takes them.
#pragma once
#include "core/dag/graph.h"

namespace dagger::testing {

inline std::vector<dag::DigestedOp> digested(std::vector<dag::Op> ops) {
  std::vector<dag::DigestedOp> all;
  for (auto& op : ops) all.push_back(dag::digested(std::move(op)));
  return all;
}

}  // namespace dagger::testing
