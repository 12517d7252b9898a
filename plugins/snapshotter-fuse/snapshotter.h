// plugins/snapshotter-fuse/snapshotter.h — stacks of directories by processes of fuse-overlayfs.
//
// Reads and writes what the overlay snapshotter does, on the same store; layers, stubs and sealing:
// plugins/common/overlay. A view is a detached mount, served by a process of its own; a view with nothing in it needs
// none. [thread-safe] [blocking]
#pragma once
#include <memory>
#include <string>

#include "dagger/plugin/snapshotter.h"

namespace dagger::fuse {

class FuseSnapshotter final : public plugin::Snapshotter {
 public:
  static constexpr char settings_schema[] =
      R"({"type":"object","description":"Stacks layers by Debian's fuse-overlayfs, a process per view, where the kernel )"
      R"(has no overlay. Needs root and /dev/fuse.","additionalProperties":false,"properties":{"binary":{"type":"string",)"
      R"("default":"fuse-overlayfs","description":"The fuse-overlayfs program: an absolute path, or a name that is )"
      R"(looked for in the system's program folders"}}})";

  FuseSnapshotter(plugin::Host& host, std::string_view config_json);
  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::SnapshotterTraits traits() const override;
  std::unique_ptr<plugin::View> open(const plugin::ViewRequest& request, plugin::CallContext& ctx) override;

 private:
  plugin::Host& host_;
  std::string program_;
  std::size_t max_stack_;
};

}  // namespace dagger::fuse
