// plugins/snapshotter-fuse/fuse_mount.h — one mount that a process of fuse-overlayfs serves.
//
// The mount is made here, by the mount API, and in no mount namespace; the process gets the other end of it
// (/dev/fuse) and the directories as fds, so their paths may have any length and any characters. It dies with this
// object, and with the engine. One thread at a time. [blocking]
#pragma once
#include <memory>
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

  // Throws unavailable when the process has ended.
  void check_alive();
  // Ends the mount, and returns when everything that was written is in the upper directory. Nobody may use the mount
  // any more. Throws unavailable when the process failed before; cancelled.
  void finish(plugin::CallContext& ctx);

  // While it exists, the process is killed as soon as the call is cancelled (or takes too long, where there is a
  // limit): whoever waits for its answers gets an error then, and nothing hangs.
  class Attended;

 private:
  UniqueFd start(plugin::Host& host, const std::string& program, const overlay::MountRequest& request);
  [[noreturn]] void fail();  // reaps the process, and says how it ended and what it said last

  UniqueFd root_, process_, words_;
};

class FuseMount::Attended {
 public:
  Attended(const FuseMount& mount, plugin::CallContext& ctx, int limit_ms = -1);
  ~Attended();
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;

 private:
  struct Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace dagger::fuse
