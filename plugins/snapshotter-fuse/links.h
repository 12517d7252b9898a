// plugins/snapshotter-fuse/links.h — the further names of files that a step changed.
//
// A file with several names in its layer is one file in a view, too: a change shows under all of them, mostly. But
// fuse-overlayfs copies the changed file to one name only, and not always to the one that was used: sealed like that,
// the change would be under a name where nobody made it. So the copy gets all names that the file had and still has.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"
#include "plugins/snapshotter-fuse/marks.h"
#include "plugins/snapshotter-fuse/merged.h"

namespace dagger::fuse {

// copies: all that are in the upper; of several of one file the newest counts. Times of directories stay. [blocking]
// Throws cancelled, no_space.
void complete_links(const std::string& upper, Merged& lowers, const std::vector<Copy>& copies,
                    plugin::CallContext& ctx);

}  // namespace dagger::fuse
