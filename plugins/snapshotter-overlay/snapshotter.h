// plugins/snapshotter-overlay/snapshotter.h — stacks of directories by the kernel's overlay file system.
//
// A view is a detached mount; only a writable view of nothing is a plain directory. Layers, stubs and sealing:
// plugins/common/overlay. [thread-safe] [blocking]
#pragma once
#include <memory>
#include <string>

#include "dagger/plugin/snapshotter.h"
#include "plugins/snapshotter-overlay/overlay_mount.h"

namespace dagger::overlay {

class OverlaySnapshotter final : public plugin::Snapshotter {
 public:
  static constexpr char settings_schema[] =
      R"({"description":"Stacks of directories by the kernel's overlay file system",)"
      R"("type":"object","additionalProperties":false,"properties":{"mount":{"enum":["auto","new","classic"],)"
      R"("default":"auto","description":"How overlays are mounted: by the mount API of Linux 6.7, by mount(2), )"
      R"(or the best of both that the kernel has"}}})";

  OverlaySnapshotter(plugin::Host& host, std::string_view config_json);
  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::SnapshotterTraits traits() const override;
  std::unique_ptr<plugin::View> open(const plugin::ViewRequest& request, plugin::CallContext& ctx) override;

 private:
  std::string empty_, scratch_;  // directories that stay empty; the classic way covers scratch_ in its own namespace
  Way way_;
};

}  // namespace dagger::overlay
