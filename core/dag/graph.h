// core/dag/graph.h — the ops a runner knows for one trust scope, with their definition keys. Pure; one thread.
//
// Ops come in any order; one whose inputs are all known is complete and has a key. Nothing here recurses.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>

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

class Graph {
 public:
  explicit Graph(std::string scope) : scope_(std::move(scope)) {}

  // Adds ops and what they complete. missing: asked for the encoding of an op that is named but unknown (it may be in
  // the store); returns empty if there is none. Throws Error{not_found} naming an op that nobody has, {corrupt_data}.
  void add(std::vector<Op> ops, const std::function<std::optional<std::string>(const Digest&)>& missing);
  const Vertex* find(const Digest& digest) const;
  std::size_t size() const noexcept { return vertices_.size(); }

 private:
  const Vertex& complete(Op op, const Digest& digest);
  std::string scope_;
  std::map<Digest, std::unique_ptr<const Vertex>> vertices_;  // a hash table would hold the thread when it grows
};

}  // namespace dagger::dag
