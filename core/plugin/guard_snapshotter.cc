#include <algorithm>

#include "core/base/fs.h"
#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

class GuardedView final : public View {
 public:
  GuardedView(const std::string& label, std::unique_ptr<View> view, std::string workspace, std::string form)
      : label_(label), view_(std::move(view)), workspace_(std::move(workspace)), form_(std::move(form)) {}
  ~GuardedView() override { detail::destroy(label_, view_); }
  int root_fd() const noexcept override { return view_->root_fd(); }
  bool detached_mount() const noexcept override { return view_->detached_mount(); }
  int lost_fd() const noexcept override { return view_->lost_fd(); }
  SealedLayer seal(CallContext& ctx) override {
    return detail::guarded(label_, "View::seal", [&] {
      if (workspace_.empty()) throw Error(Code::internal, "a view that is not writable was sealed");
      auto layer = view_->seal(ctx);
      if (layer.empty) return layer;
      if (layer.form != form_) fault("sealed a layer of form '" + layer.form + "', its traits say '" + form_ + "'");
      if (clean_path(layer.path).rfind(workspace_ + "/", 0) != 0)
        fault("sealed a layer at '" + layer.path + "', outside its workspace " + workspace_);
      return layer;
    });
  }

 private:
  const std::string& label_;
  std::unique_ptr<View> view_;
  std::string workspace_, form_;
};

class GuardedSnapshotter final : public detail::GuardBase<Snapshotter> {
 public:
  using GuardBase::GuardBase;
  SnapshotterTraits traits() const override {
    return call("traits", [&] {
      auto t = inner_.traits();
      if (t.reads.empty() || t.writes.empty()) fault("names no form that it reads or writes");
      if (std::find(t.reads.begin(), t.reads.end(), t.writes) == t.reads.end())
        fault("writes the form '" + t.writes + "', which it does not read");
      return t;
    });
  }
  std::unique_ptr<View> open(const ViewRequest& request, CallContext& ctx) override {
    return call("open", [&]() -> std::unique_ptr<View> {
      auto view = inner_.open(request, ctx);
      if (!view) fault("returned no view");
      if (view->root_fd() < 0) fault("returned a view without a root directory");
      return std::make_unique<GuardedView>(label_, std::move(view),
                                           request.writable ? clean_path(request.workspace) : std::string(),
                                           inner_.traits().writes);
    });
  }
};

}  // namespace

std::unique_ptr<Snapshotter> guard_snapshotter(LoadedPlugin plugin) {
  return std::make_unique<GuardedSnapshotter>(std::move(plugin));
}

}  // namespace dagger::plugin
