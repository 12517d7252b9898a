// core/store/tree/merge.h — change sets laid over each other become one, with the same effect on whatever lies below.
//
// What is hidden inside is left out; whiteouts and opaque directories stay. Files are not copied but linked: layers
// never change. [blocking]
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

struct Merged {
  std::uint64_t bytes = 0, entries = 0;  // bytes: without what is shared with the layers
};

// layers: paths of directories with overlay's marks of one form, lowest first. target: an empty directory on their file
// system. mark_prefix: of that form. Throws cancelled, no_space.
Merged merge_layers(const std::vector<std::string>& layers, int target, const std::string& mark_prefix,
                    plugin::CallContext& ctx);

}  // namespace dagger::store::tree
