// core/store/known_tree.h — host directories that became layers before: found by digest, or by where they came from.
// [thread-safe] [blocking]
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/store/store.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

constexpr std::size_t max_pack = std::size_t{1} << 30;  // encoded nodes of one tree

struct KnownTree {
  std::uint64_t layer = 0;  // 0: the directory is empty
  Digest nodes;             // blob: all nodes of the tree
};

// Nothing where the layer is gone. Throws corrupt_data.
std::optional<KnownTree> known_tree(Store& store, const Digest& tree);
void keep_known_tree(Store& store, const Digest& tree, const KnownTree& known);
// The last tree that came from a place (hint).
void keep_last_tree(Store& store, const std::string& hint, const Digest& tree);

// The tree that a new one is compared with; empty if there is none, or if it turns out to be damaged.
struct BaseTree {
  std::unique_ptr<Lease> lease;
  UniqueFd dir = UniqueFd();  // of its layer
  Digest root;
  std::unique_ptr<const std::string> pack;             // its bytes stay where they are when this moves
  std::unordered_map<Digest, std::string_view> nodes;  // encoded, in pack

  static BaseTree find(Store& store, const std::string& hint);
};

}  // namespace dagger::store
