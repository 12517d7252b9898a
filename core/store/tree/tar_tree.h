// core/store/tree/tar_tree.h — a directory's contents, or one file, as a PAX tar stream.
#pragma once
#include <memory>
#include <string>

#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

// path: absolute in root. A directory gives its entries, by relative names; a file gives one entry, its base name. The
// stream reads the tree as it is read: root_fd and ctx must outlive it. [blocking]
std::unique_ptr<plugin::ByteStream> tar_tree(int root_fd, const std::string& path, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
