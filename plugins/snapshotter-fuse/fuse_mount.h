// plugins/snapshotter-fuse/fuse_mount.h — one mount that a process of fuse-overlayfs serves.
//
// The mount is made here, by the mount API, and in no mount namespace; the process gets the other end of it
// (/dev/fuse) and the directories as fds, so their paths may have any length and any characters. It dies with this
// object, and with the engine. One thread at a time. [blocking]
#pragma once
#include <functional>
#include <string>

#include "dagger/plugin/plugin.h"
#include "dagger/plugin/unique_fd.h"
#include "plugins/common/overlay/opening.h"

namespace dagger::fuse {

// Throws unsupported or permission_denied, with the remedy, where this machine makes no such mounts.
void probe();

class FuseMount {
 public:
  // Returns when the process answers. Throws unavailable, with the last words of a process that ended instead;
  // cancelled; what the kernel said.
  FuseMount(plugin::Host& host, const std::string& program, const overlay::MountRequest& request,
            plugin::CallContext& ctx);
  ~FuseMount();
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;

  int root() const noexcept { return root_.get(); }
  int process() const noexcept { return process_.get(); }  // readable when it has ended

  // Ends the mount, and returns when everything that was written is in the upper directory. Nobody may use the mount
  // any more, but for last_look, which gets its root before. Throws unavailable when the process failed before;
  // cancelled.
  void finish(plugin::CallContext& ctx, const std::function<void(int root)>& last_look);

 private:
  UniqueFd start(plugin::Host& host, const std::string& program, const overlay::MountRequest& request);
  bool ended() const;  // the process, while the mount lasts
  std::string reap();  // how the process ended, and what it said last
  [[noreturn]] void fail();

  plugin::Host& host_;
  UniqueFd root_, process_, words_;
};

}  // namespace dagger::fuse
