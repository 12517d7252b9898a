// tests/support/second/copy_snapshotter.h — a snapshotter without any mount.
//
// A view is a plain directory with a copy of the whole stack; seal() compares it with what was copied and moves the
// differences into a layer directory. Slow, and right on every file system. As root it speaks the overlay-trusted form,
// else overlay-user. [thread-safe]
#pragma once
#include "dagger/plugin/snapshotter.h"

namespace dagger::testing {

class CopySnapshotter final : public plugin::Snapshotter {
 public:
  static constexpr char settings_schema[] =
      R"({"type": "object", "description": "makes every view by copying the layers", "properties": {}})";

  CopySnapshotter(plugin::Host& host, std::string_view) : host_(host) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::SnapshotterTraits traits() const override;
  std::unique_ptr<plugin::View> open(const plugin::ViewRequest& request, plugin::CallContext& ctx) override;

 private:
  plugin::Host& host_;
};

}  // namespace dagger::testing
