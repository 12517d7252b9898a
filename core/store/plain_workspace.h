// core/store/plain_workspace.h — a layer in the making that is a plain directory, without the snapshotter. One thread
// at a time. [blocking]
#pragma once
#include <sys/stat.h>

#include <string>

#include "core/store/rows.h"
#include "core/store/sweeper.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

class Publisher;

class PlainWorkspace final : public Workspace {
 public:
  // form: of the layer. Publisher and sweeper outlive the workspace.
  PlainWorkspace(Publisher& publisher, Sweeper& sweeper, std::string form);
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return false; }
  std::optional<LayerId> seal(plugin::CallContext& ctx) override;
  // As seal(), by somebody who knows what is in it.
  LayerId publish(LayerRow row);
  const char* mark_prefix() const noexcept;  // of overlay's marks in this form

 private:
  std::string path() const { return work_.path() + "/fs"; }
  LayerRow account(plugin::CallContext& ctx) const;
  Publisher& publisher_;
  const std::string form_;
  const WorkDir work_;
  UniqueFd root_;
  struct stat before_{};
};

}  // namespace dagger::store
