// plugins/common/overlay/stubs.h — mount points that exist in a view but in no layer.
//
// They are lower layers of the one mount. The first is the lowest: whatever the stack has wins over it, with its own
// metadata. Only a stub that does not show then (below an opaque directory, a whiteout or a link) goes into a second
// one on top, where its parent directories carry the metadata of the merged ones. [thread-safe] [blocking]
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/layer.h"

namespace dagger::overlay {

// Makes directory, and each stub below it as its path says. Where two disagree, the first wins.
void make_lowest_stubs(const std::string& directory, const std::vector<plugin::MountStub>& stubs);

// Those that cannot be reached in the tree at root.
std::vector<plugin::MountStub> missing_stubs(int root, const std::vector<plugin::MountStub>& stubs);

// Makes directory with these stubs, where links of the tree at root lead to, and its directories as they are there.
void make_topmost_stubs(const std::string& directory, int root, const std::vector<plugin::MountStub>& stubs);

}  // namespace dagger::overlay
