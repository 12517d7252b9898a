// plugins/common/overlay/opening.h — opens a view of stacked directories, whatever stacks them.
//
// Reads and writes the form overlay-trusted only: a directory with user.* marks in a stack of trusted.* ones (or the
// other way round) would show deleted files again, so the store converts what is in another form. [blocking] Errors
// are the mounter's, and invalid_argument for a request that cannot be meant.
#pragma once
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dagger/plugin/snapshotter.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::overlay {

struct MountRequest {
  std::vector<std::string> lowers;  // absolute paths, topmost first; at least one
  std::string upper, work;          // "": read-only
};

// Mounts of one view, one at a time: mount() ends what it made before.
class Mounter {
 public:
  virtual ~Mounter() = default;
  virtual int mount(const MountRequest& request) = 0;  // the root; it belongs to the mounter
  virtual void unmount() = 0;
};

// The layers' directories, topmost first. Throws invalid_argument when one has none, or there are more than most.
std::vector<std::string> lower_paths(const plugin::ViewRequest& request, std::size_t most);

// The directory of a view's changes; sealed, it is the layer.
class Upper {
 public:
  // Makes it in the workspace, with the attributes of the topmost lower: its root is what the view's root looks like.
  Upper(const std::string& workspace, const std::vector<std::string>& lowers);
  const std::string& path() const noexcept { return path_; }
  // Throws cancelled.
  plugin::SealedLayer seal(plugin::CallContext& ctx) const;

 private:
  std::string path_;
  struct stat before_{};
};

// A view that no process serves: a detached mount, or a plain directory.
class FdView final : public plugin::View {
 public:
  // upper: none for a read-only view.
  FdView(UniqueFd root, bool detached, std::optional<Upper> upper)
      : root_(std::move(root)), detached_(detached), upper_(std::move(upper)) {}
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return detached_; }
  plugin::SealedLayer seal(plugin::CallContext& ctx) override;

 private:
  UniqueFd root_;
  bool detached_;
  std::optional<Upper> upper_;
};

// The view of a request in which there is nothing to stack, neither layers nor stubs; null for any other.
std::unique_ptr<plugin::View> open_nothing(const plugin::ViewRequest& request);

// Mounts upper on lowers such that the stubs of the request show.
void mount_with_stubs(Mounter& mounter, const plugin::ViewRequest& request, std::vector<std::string> lowers,
                      const Upper& upper);

}  // namespace dagger::overlay
