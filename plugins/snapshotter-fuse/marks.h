// plugins/snapshotter-fuse/marks.h — makes a layer of the form overlay-trusted of what fuse-overlayfs wrote.
//
// As root it makes whiteouts and opaque directories as the kernel's overlay does, but too many, and leaves more behind:
// every new directory is opaque and has files .wh..wh..opq and .wh..opq; a copied file tells where it came from
// (user.fuseoverlayfs.origin); on a file system without RENAME_WHITEOUT .wh.NAME stands for a whiteout. Only marks that
// hide something stay, so that the layer can be laid over others.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"
#include "plugins/snapshotter-fuse/merged.h"

namespace dagger::fuse {

// A file in the upper that is a changed copy of one in a layer.
struct Copy {
  std::string path, origin;  // where it is now, and where it was in its layer: "/a/b"
  ino_t inode = 0;
  timespec changed{};
};

// Times of directories stay. Returns the copies of files that have several names in their layer. [blocking] Throws
// cancelled, no_space.
std::vector<Copy> clean_marks(const std::string& upper, Merged& lowers, plugin::CallContext& ctx);

}  // namespace dagger::fuse
