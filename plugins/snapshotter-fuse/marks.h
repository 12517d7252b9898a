// plugins/snapshotter-fuse/marks.h — makes a layer of the form overlay-trusted of what fuse-overlayfs wrote.
//
// As root it marks whiteouts and opaque directories as the kernel's overlay does, and leaves more behind: the files
// .wh..wh..opq and .wh..opq in every opaque directory, opaque marks below opaque directories, where a copied file came
// from (user.fuseoverlayfs.origin), and .wh.NAME instead of a whiteout where the file system has no RENAME_WHITEOUT.
#pragma once
#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::fuse {

inline constexpr const char* origin_mark = "user.fuseoverlayfs.origin";

// Times of directories stay. [blocking] Throws cancelled, no_space.
void clean_marks(const std::string& upper, plugin::CallContext& ctx);

}  // namespace dagger::fuse
