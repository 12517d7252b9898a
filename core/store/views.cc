#include "core/store/views.h"

#include <fcntl.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/store/flatten.h"
#include "core/store/index.h"
#include "core/store/layout.h"
#include "core/store/plain_workspace.h"
#include "core/store/publisher.h"
#include "core/store/tree/merge.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/values.h"

namespace dagger::store {
namespace {

class CountedLease final : public Lease {
 public:
  CountedLease(std::shared_ptr<Index> index, Stack stack) : index_(std::move(index)), stack_(std::move(stack)) {
    index_->lease(stack_);
  }
  ~CountedLease() override { index_->release(stack_); }
  CountedLease(const CountedLease&) = delete;
  CountedLease& operator=(const CountedLease&) = delete;

 private:
  const std::shared_ptr<Index> index_;
  const Stack stack_;
};

// A view whose layers stay while it exists.
class LeasedView final : public plugin::View {
 public:
  LeasedView(std::unique_ptr<Lease> lease, std::unique_ptr<plugin::View> view)
      : lease_(std::move(lease)), view_(std::move(view)) {}
  int root_fd() const noexcept override { return view_->root_fd(); }
  bool detached_mount() const noexcept override { return view_->detached_mount(); }
  int lost_fd() const noexcept override { return view_->lost_fd(); }
  plugin::SealedLayer seal(plugin::CallContext& ctx) override { return view_->seal(ctx); }

 private:
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::View> view_;
};

// A layer's bytes; the layer stays while they are read.
class LeasedStream final : public plugin::ByteStream {
 public:
  LeasedStream(std::unique_ptr<Lease> lease, std::unique_ptr<plugin::ByteStream> stream)
      : lease_(std::move(lease)), stream_(std::move(stream)) {}
  std::size_t read(void* buffer, std::size_t size) override { return stream_->read(buffer, size); }

 private:
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::ByteStream> stream_;
};

// A layer in the making that the snapshotter keeps.
class ShownWorkspace final : public Workspace {
 public:
  ShownWorkspace(Publisher& publisher, Sweeper& sweeper, std::string dir, std::unique_ptr<Lease> lease)
      : publisher_(publisher), sweeper_(sweeper), dir_(std::move(dir)), lease_(std::move(lease)) {}
  ~ShownWorkspace() override {
    view_.reset();
    sweeper_.remove(dir_);
  }
  ShownWorkspace(const ShownWorkspace&) = delete;
  ShownWorkspace& operator=(const ShownWorkspace&) = delete;

  void set(std::unique_ptr<plugin::View> view) { view_ = std::move(view); }
  int root_fd() const noexcept override { return view_->root_fd(); }
  bool detached_mount() const noexcept override { return view_->detached_mount(); }
  int lost_fd() const noexcept override { return view_->lost_fd(); }
  std::optional<LayerId> seal(plugin::CallContext& ctx) override {
    const auto sealed = view_->seal(ctx);
    if (sealed.empty) return std::nullopt;
    LayerRow row;
    row.bytes = sealed.bytes;
    row.entries = sealed.entries;
    return publisher_.publish(sealed.path, sealed.form, std::move(row));
  }

 private:
  Publisher& publisher_;
  Sweeper& sweeper_;
  const std::string dir_;
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::View> view_;
};

}  // namespace

Views::Views(plugin::Snapshotter& snapshotter, const Layout& layout, std::shared_ptr<Index> index, Values& values,
             Publisher& publisher, Sweeper& sweeper)
    : snapshotter_(snapshotter),
      traits_(snapshotter.traits()),
      layout_(layout),
      index_(std::move(index)),
      values_(values),
      publisher_(publisher),
      sweeper_(sweeper) {}

std::optional<LayerInfo> Views::info(LayerId id) const {
  const auto row = index_->layer(id);
  if (!row) return std::nullopt;
  LayerInfo info{id, places(id, *row), row->bytes, row->entries, {}, {}, row->diff_id};
  if (!row->content.zero()) info.content = row->content, info.exact = row->exact;
  return info;
}

std::unique_ptr<Lease> Views::lease(const Stack& stack) { return std::make_unique<CountedLease>(index_, stack); }

std::unique_ptr<plugin::View> Views::view(const Stack& stack, plugin::CallContext& ctx) {
  const auto held = lease(stack);
  const Stack shown = shortened(stack, ctx);
  return std::make_unique<LeasedView>(lease(shown), snapshotter_.open({layers(shown), false, "", {}}, ctx));
}

std::unique_ptr<Workspace> Views::workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                            plugin::CallContext& ctx) {
  const auto held = lease(base);
  const Stack shown = shortened(base, ctx);
  plugin::ViewRequest request{layers(shown), true, sweeper_.make_work_dir(), stubs};
  auto out = std::make_unique<ShownWorkspace>(publisher_, sweeper_, request.workspace, lease(shown));
  out->set(snapshotter_.open(request, ctx));
  return out;
}

std::unique_ptr<plugin::ByteStream> Views::tar_of(LayerId id, plugin::CallContext& ctx) {
  const auto row = row_of(id);
  const std::string form = directory_form(row);
  if (form.empty())
    throw Error(Code::unsupported,
                "layer " + std::to_string(id) + " exists as " + row.forms.front() + ", of which no tar can be made");
  auto dir = open_file(layout_.layer(id) + "/" + form, O_RDONLY | O_DIRECTORY);
  return std::make_unique<LeasedStream>(lease({id}), tree::tar_layer(std::move(dir), row.opaque_root, ctx));
}

std::string Views::unpack_form() const {
  for (const char* form : {plugin::form::overlay_trusted, plugin::form::overlay_user})
    if (reads(form)) return form;
  throw Error(Code::unsupported, "the configured snapshotter reads no layer directories");
}

bool Views::reads(const std::string& form) const {
  return std::ranges::find(traits_.reads, form) != traits_.reads.end();
}

std::vector<plugin::LayerPlace> Views::places(LayerId id, const LayerRow& row) const {
  std::vector<plugin::LayerPlace> out;
  for (const auto& form : row.forms) out.push_back({form, layout_.layer(id) + "/" + form});
  return out;
}

LayerRow Views::row_of(LayerId id) const {
  auto row = index_->layer(id);
  if (!row) throw Error(Code::not_found, "layer " + std::to_string(id) + " is not in the store");
  return std::move(*row);
}

// As the snapshotter wants them.
std::vector<plugin::Layer> Views::layers(const Stack& stack) const {
  std::vector<plugin::Layer> out;
  for (const LayerId id : without_repeats(stack)) {
    const auto row = row_of(id);
    if (std::none_of(row.forms.begin(), row.forms.end(), [this](const auto& form) { return reads(form); }))
      throw Error(
          Code::unsupported,
          "layer " + std::to_string(id) + " exists as " + row.forms.front() +
              ", which the configured snapshotter cannot read: use the one that made it, or another state directory");
    out.push_back({std::to_string(id), places(id, row), row.diff_id});
  }
  return out;
}

Stack Views::shortened(const Stack& stack, plugin::CallContext& ctx) {
  Stack shown;
  for (const LayerId id : stack) {
    if (row_of(id).opaque_root) shown.clear();
    shown.push_back(id);
  }
  if (traits_.max_stack == 0) return shown;
  return flatten(std::move(shown), traits_.max_stack, [&](const Stack& group) { return merged(group, ctx); });
}

// One layer for a group of layers of a long stack: made once, then found under its parts.
LayerId Views::merged(const Stack& group, plugin::CallContext& ctx) {
  std::string parts = "merged";
  for (const LayerId id : group) parts += " " + std::to_string(id);
  const Digest key = Digest::of(parts);
  const auto find = [&]() -> std::optional<LayerId> {
    const auto known = values_.get("merged", std::string(key.raw()));
    if (!known) return std::nullopt;
    const LayerId id = std::stoull(*known);
    return index_->layer(id) ? std::optional(id) : std::nullopt;
  };
  if (const auto id = find()) return *id;
  const std::lock_guard one_at_a_time(merge_mutex_);  // of two that need the same the second finds it
  if (const auto id = find()) return *id;
  const LayerId id = merge(group, key, ctx);
  values_.put("merged", std::string(key.raw()), std::to_string(id));
  return id;
}

LayerId Views::merge(const Stack& group, const Digest& key, plugin::CallContext& ctx) {
  const std::string form = unpack_form();
  const auto held = lease(group);
  std::vector<std::string> dirs;
  for (const LayerId id : group) {
    const auto row = row_of(id);
    if (std::ranges::find(row.forms, form) == row.forms.end())
      throw Error(Code::unsupported, "layer " + std::to_string(id) + " exists as " + row.forms.front() +
                                         ", which cannot be merged with others: the stack is too long");
    dirs.push_back(layout_.layer(id) + "/" + form);
  }
  PlainWorkspace workspace(publisher_, sweeper_, form);
  const auto total = tree::merge_layers(dirs, workspace.root_fd(), workspace.mark_prefix(), ctx);
  LayerRow row;
  row.bytes = total.bytes;
  row.entries = total.entries;
  row.content = row.exact = key;  // stands for its parts in views only: nobody asks for its own digests
  return workspace.publish(std::move(row));
}

}  // namespace dagger::store
