// plugins/snapshotter-fuse/links.h — the further names of files that a step changed.
//
// The view shows several names of one file of a layer as what they are, but fuse-overlayfs copies a changed file to one
// of them only, and not always to the one that was used: sealed, the change would appear under another name. So all
// names that the view still shows become names of the copy.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::fuse {

// root: of the writable view, which nobody else uses; lowers: topmost first. [blocking] Throws cancelled, no_space.
void complete_links(int root, const std::string& upper, const std::vector<std::string>& lowers,
                    plugin::CallContext& ctx);

}  // namespace dagger::fuse
