// core/store/views.h — stacks of layers as the snapshotter shows them, and layers as tars.
//
// A stack is shown without what an opaque root hides, and with many layers made one if there are more than the
// snapshotter can stack. What is shown is leased for as long. [thread-safe] [blocking] but for info(), lease() and
// unpack_form(). Errors: not_found (a layer), unsupported (a form that the snapshotter does not read), no_space.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/store/rows.h"

namespace dagger::store {

class Index;
class Layout;
class Publisher;
class Sweeper;
class Values;

class Views {
 public:
  // All referenced things outlive the views.
  Views(plugin::Snapshotter& snapshotter, const Layout& layout, std::shared_ptr<Index> index, Values& values,
        Publisher& publisher, Sweeper& sweeper);

  std::optional<LayerInfo> info(LayerId id) const;
  std::unique_ptr<Lease> lease(const Stack& stack);
  std::unique_ptr<plugin::View> view(const Stack& stack, plugin::CallContext& ctx);
  std::unique_ptr<Workspace> workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                       plugin::CallContext& ctx);
  std::unique_ptr<plugin::ByteStream> tar_of(LayerId id, plugin::CallContext& ctx);
  // The form of directory that unpacking makes.
  std::string unpack_form() const;

 private:
  bool reads(const std::string& form) const;
  std::vector<plugin::LayerPlace> places(LayerId id, const LayerRow& row) const;
  LayerRow row_of(LayerId id) const;
  std::vector<plugin::Layer> layers(const Stack& stack) const;
  Stack shortened(const Stack& stack, plugin::CallContext& ctx);
  LayerId merged(const Stack& group, plugin::CallContext& ctx);
  LayerId merge(const Stack& group, const Digest& key, plugin::CallContext& ctx);

  plugin::Snapshotter& snapshotter_;
  const plugin::SnapshotterTraits traits_;
  const Layout& layout_;
  const std::shared_ptr<Index> index_;
  Values& values_;
  Publisher& publisher_;
  Sweeper& sweeper_;
  std::mutex merge_mutex_;
};

}  // namespace dagger::store
