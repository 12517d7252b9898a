// core/solver/reason.h — why an op runs: what distinguishes its key from that of the nearest record, down to the files
// of an input that changed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/dag/graph.h"
#include "core/store/store.h"
#include "dagger/plugin/plugin.h"

namespace dagger::solver {

class Reason {
 public:
  // Looks in memory only: for the control thread. store and vertex outlive it.
  Reason(store::Store& store, const dag::Vertex& vertex);
  // Whether it is known which trees differ, so that their files can be named.
  bool lies_in_inputs() const;
  // Names them, as far as a bounded look at the layers tells. Does not throw. [blocking]
  void look_into_inputs(plugin::CallContext& ctx) noexcept;
  // "environment variable FOO changed", "input file src/main.c changed", "never made before", ...
  std::string text() const;

  // By the parts of a record's key its inputs are found again: remembers where those of vertex come from.
  static void remember_inputs(store::Store& store, const dag::Vertex& vertex);

 private:
  std::vector<dag::Difference> files(const dag::Difference& input, plugin::CallContext& ctx) const;

  store::Store& store_;
  const dag::Vertex& vertex_;
  std::shared_ptr<const store::Record> nearest_;
  std::vector<dag::Difference> differences_;
};

}  // namespace dagger::solver
