// core/store/local_trees.h — directories of a client's machine as layers.
//
// A tree is named by the exact digest of its root node (manifest.h). One that the store has is a layer already.
// Otherwise the last tree that came from the same place is the base: nodes that it shares are not asked for, and files
// that are the same in every respect become hard links to it; contents of the others are fetched and verified.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store {

// The session's side. Both answer with 8 bytes of length, big endian, and the bytes, for each digest in turn.
// [thread-safe] [blocking]
class TreeSource {
 public:
  virtual ~TreeSource() = default;
  virtual std::unique_ptr<plugin::ByteStream> nodes(const std::vector<Digest>& digests) = 0;  // encoded
  virtual std::unique_ptr<plugin::ByteStream> contents(const std::vector<Digest>& digests) = 0;
};

// hint: names the place ("host path on machine"). The stack is empty for an empty directory. Throws corrupt_data (what
// the source delivers is not what it announced: names the file), no_space, cancelled, and what the source throws.
// Tells ctx the bytes that came of those that must, as progress of "57 files"; nothing if no content has to come.
// [blocking]
Stack make_local_tree(Store& store, const Digest& tree, const std::string& hint, TreeSource& source,
                      plugin::CallContext& ctx);

}  // namespace dagger::store
