// core/store/tree/compare.h — which files differ between two layers, for people: an explanation, not a proof.
// [blocking]
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

enum class ChangeKind { changed, added, removed };

struct Change {
  std::string path;  // relative: "src/main.c"
  ChangeKind kind = ChangeKind::changed;
  bool operator==(const Change&) const = default;
};

struct CompareLimits {
  std::size_t changes = 1000, entries = 100'000;
  std::uint64_t bytes = 16 << 20;  // of contents that are read; what is left out counts as changed
};

// before, now: readable directories of layers with overlay's marks; -1 is an empty one. Files that are one inode, or
// have one size and one mtime, are taken for equal; mtimes alone are no change. Ends at a limit with what it has found.
// Throws cancelled.
std::vector<Change> compare(int before, int now, const CompareLimits& limits, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
