// plugins/snapshotter-overlay/overlay_mount.h — one overlay mount that is in no mount namespace.
//
// Two ways: the new mount API, one call per layer, without limits on the length of their paths (Linux 6.7); and
// mount(2) in a thread with a mount namespace of its own, where short symbolic links keep 500 layers within the one
// page that it takes. Either gives a detached mount fd; nothing shows in the namespace of the process. [thread-safe]
// [blocking]
#pragma once
#include <string>

#include "dagger/plugin/unique_fd.h"
#include "plugins/common/overlay/opening.h"

namespace dagger::overlay {

enum class Way { new_api, classic };

// The kernel's own limit on lower layers of one mount.
constexpr std::size_t max_lowers = 500;

// The best way that this kernel has. probe_dir: any directory. Throws unsupported, permission_denied.
Way probe(const std::string& probe_dir);

// scratch: an empty directory that the classic way may cover in its own namespace. Throws what the kernel said.
UniqueFd mount_overlay(Way way, const MountRequest& request, const std::string& scratch);

}  // namespace dagger::overlay
