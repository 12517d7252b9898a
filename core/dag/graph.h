// core/dag/graph.h — the ops a runner knows for one trust scope, with their definition keys. Pure; one thread.
//
// Ops that are added together come in any order. Nothing here recurses.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/dag/keys.h"
#include "core/dag/op.h"

namespace dagger::dag {

// Neither moves nor changes while its graph lives: once found, it may be read by any thread.
struct Vertex {
  Op op;
  Digest digest;
  std::vector<const Vertex*> inputs;  // same order as op.inputs
  std::vector<KeyPart> parts;
  Digest key;                 // definition key
  bool times_matter = false;  // this op or one before it set times
};

// An op with all that takes time in proportion to its size, so that a graph's thread need not work it out.
struct DigestedOp {
  Op op;
  Digest digest;
  std::vector<KeyPart> own;  // own_parts(op)
  std::size_t bytes = 0;     // of its encoding
};
DigestedOp digested(Op op);

class Graph {
 public:
  explicit Graph(std::string scope) : scope_(std::move(scope)) {}

  // Throws Error{not_found} naming an input that is neither known nor among them, {corrupt_data}.
  void add(std::vector<DigestedOp> ops);
  const Vertex* find(const Digest& digest) const;
  std::size_t size() const noexcept { return vertices_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }  // of the encodings of all ops

 private:
  void complete(DigestedOp op);
  std::string scope_;
  std::size_t bytes_ = 0;
  std::map<Digest, std::unique_ptr<const Vertex>> vertices_;  // a hash table would hold the thread when it grows
};

}  // namespace dagger::dag
