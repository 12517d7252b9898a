// plugins/snapshotter-fuse/times.h — times of directories that a view shows and its upper directory does not have.
//
// When fuse-overlayfs copies a file into the upper, its directory there gets the time of that moment. In the view, as
// in a layer of the kernel's overlay, the directory keeps the time that it has: nothing was added to it.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::fuse {

struct DirectoryTimes {
  std::string path;  // "" or "/a/b"
  timespec modified{};
};

// root: of the view. [blocking] Throws cancelled.
std::vector<DirectoryTimes> shown_times(int root, const std::string& upper, plugin::CallContext& ctx);

void set_times(const std::string& upper, const std::vector<DirectoryTimes>& all);

}  // namespace dagger::fuse
