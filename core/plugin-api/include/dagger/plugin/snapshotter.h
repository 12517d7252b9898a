// dagger/plugin/snapshotter.h — turns a stack of layers into a root directory, and seals changes into a new layer.
//
// A snapshotter owns no state: the store gives it places and keeps what it makes. Nothing needs a mount: a view is
// reached through a directory fd, which may be a detached mount (overlay) or a plain directory (a copy). Layers that
// come as tars are unpacked by the store, as directories of the form overlay_trusted or else overlay_user, whichever is
// read here.
#pragma once
#include <memory>

#include "dagger/plugin/layer.h"
#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

struct SnapshotterTraits {
  std::vector<std::string> reads;  // forms it can stack, best first
  std::string writes;              // the form that seal() makes; one of reads
  std::size_t max_stack = 0;       // layers in one view; 0: any number. The store flattens beyond it
};

struct ViewRequest {
  std::vector<Layer> stack;  // lowest first; every layer has a place whose form is in traits().reads
  bool writable = false;
  // Writable only: an empty directory, mode 0700, on the file system of the layers. Everything the view needs lives
  // there (overlay: upper and work). Removed by the store after the view is destroyed and not sealed.
  std::string workspace;
  std::vector<MountStub> stubs;  // appear in the view, never in the sealed layer
};

struct SealedLayer {
  std::string form;
  std::string path;  // of the layer's directory or blob, somewhere under the view's workspace; the store renames it
  std::uint64_t bytes = 0, entries = 0;  // as accounted on disk, and objects in the change set
  bool empty = false;                    // nothing changed: no layer needed
};

// A mounted (or copied) stack. Destroying it unmounts, and ends a process that serves it; it leaves nothing behind
// outside its workspace. One thread at a time.
class View {
 public:
  virtual ~View() = default;
  // The root directory, O_PATH or better. Belongs to the view. If detached_mount() it is the root of a mount that is in
  // no mount namespace: an executor attaches it with move_mount(2) after open_tree(OPEN_TREE_CLONE); otherwise it binds
  // it.
  virtual int root_fd() const noexcept = 0;
  virtual bool detached_mount() const noexcept = 0;
  // Becomes readable when the view is lost (the process that served it has ended): an exec on it fails, with what
  // seal() throws then. -1: never.
  virtual int lost_fd() const noexcept { return -1; }
  // Ends writing and turns the changes into a layer. Call at most once, on a writable view, when no process uses it any
  // more. Afterwards root_fd() is gone. Does not sync: durability belongs to the store. Throws no_space, cancelled; of
  // a lost view unavailable, with why.
  virtual SealedLayer seal(CallContext& ctx) = 0;
};

// [thread-safe] [blocking]
class Snapshotter : public Plugin {
 public:
  static constexpr const char* kind = "snapshotter";
  virtual SnapshotterTraits traits() const = 0;
  // Throws invalid_argument (a layer without a readable form, or a stack beyond max_stack), no_space, unsupported.
  virtual std::unique_ptr<View> open(const ViewRequest& request, CallContext& ctx) = 0;
};

}  // namespace dagger::plugin
