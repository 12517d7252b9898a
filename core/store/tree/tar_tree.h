// core/store/tree/tar_tree.h — a directory's contents, one file, or a layer, as a PAX tar stream. Reproducible: names
// are sorted. The streams read the tree as they are read: dir fds and ctx must outlive them. [blocking]
#pragma once
#include <memory>
#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

// path: absolute in root. A directory gives its entries, by relative names; a file gives one entry, its base name.
// Links are links; hard links travel as files, extended attributes not at all.
std::unique_ptr<plugin::ByteStream> tar_tree(int root_fd, const std::string& path, plugin::CallContext& ctx);

// A layer directory with overlay's marks as an OCI layer: its root first, whiteouts and opaque directories as AUFS has
// them, hard links, extended attributes, times to the nanosecond.
std::unique_ptr<plugin::ByteStream> tar_layer(UniqueFd dir, bool opaque_root, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
