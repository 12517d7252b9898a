// core/solver/stack_walk.h — from an output to its layers, over the records of the ops it was made by; or to the ops
// that have no record. Control thread; in steps, since a pipeline may be long.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/dag/graph.h"
#include "core/store/store.h"

namespace dagger::solver {

// Whether a finished op has a record. Others are made of their inputs' stacks.
bool recorded(const dag::Op& op);
// Whether a record has all outputs of the op, on inputs that the op has. A record from elsewhere may lie; what is
// wanted of one that does would never be found.
bool complete(const store::Record& record, const dag::Op& op);

class StackWalk {
 public:
  // Stacks of outputs (by the key of their op, and name) that need no walk any more.
  using Known = std::map<std::pair<Digest, std::string>, std::shared_ptr<const store::Stack>>;
  // An output that has to be made first.
  struct Gap {
    const dag::Vertex* vertex;
    const std::string* output;
    bool closed(const store::Store& store) const;  // it has been made meanwhile
  };

  // All of them outlive the walk.
  StackWalk(const store::Store& store, const Known& known, const dag::Vertex& vertex, const std::string& output);
  // One op; false at the end. Throws invalid_argument for a pipeline that merges itself beyond all measure.
  bool step();

  store::Stack stack;     // all of it if there are no gaps
  std::vector<Gap> gaps;  // one per op

 private:
  struct Visit {
    const dag::Vertex* vertex;
    const std::string* output;  // null: the layers alone
    const store::Stack* layers = nullptr;
    std::shared_ptr<const void> keep = nullptr;  // owns layers
  };
  void visit_input(const dag::Vertex& vertex, std::size_t index) {
    open_.push_back({vertex.inputs[index], &vertex.op.inputs[index].output});
  }

  const store::Store& store_;
  const Known& known_;
  // A stack is the base's stack plus the op's own layers: collected from the top down, bases pushed last are visited
  // first.
  std::vector<Visit> open_;
  std::unordered_set<const dag::Vertex*> reported_;
  std::size_t visited_ = 0;
};

}  // namespace dagger::solver
