#include "plugins/snapshotter-fuse/snapshotter.h"

#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "plugins/common/overlay/opening.h"
#include "plugins/common/sys/sys.h"
#include "plugins/snapshotter-fuse/fuse_mount.h"
#include "plugins/snapshotter-fuse/links.h"
#include "plugins/snapshotter-fuse/marks.h"
#include "plugins/snapshotter-fuse/merged.h"
#include "plugins/snapshotter-fuse/times.h"

namespace dagger::fuse {
namespace {

using overlay::MountRequest;
using overlay::Upper;

class FuseMounter final : public overlay::Mounter {
 public:
  FuseMounter(plugin::Host& host, const std::string& program, plugin::CallContext& ctx)
      : host_(host), program_(program), ctx_(ctx) {}
  int mount(const MountRequest& request) override {
    unmount();
    mount_ = std::make_unique<FuseMount>(host_, program_, request, ctx_);
    return mount_->root();
  }
  void unmount() override { mount_.reset(); }
  std::unique_ptr<FuseMount> take() { return std::move(mount_); }

 private:
  plugin::Host& host_;
  const std::string& program_;
  plugin::CallContext& ctx_;
  std::unique_ptr<FuseMount> mount_;
};

class FuseView final : public plugin::View {
 public:
  FuseView(std::unique_ptr<FuseMount> mount, std::vector<std::string> lowers, std::optional<Upper> upper)
      : mount_(std::move(mount)), lowers_(std::move(lowers)), upper_(std::move(upper)) {}
  int root_fd() const noexcept override { return mount_->root(); }
  bool detached_mount() const noexcept override { return true; }
  int lost_fd() const noexcept override { return mount_->process(); }

  plugin::SealedLayer seal(plugin::CallContext& ctx) override {
    if (!upper_) throw Error(Code::invalid_argument, "a read-only view has no changes to seal");
    std::vector<DirectoryTimes> times;
    mount_->finish(ctx, [&](int root) { times = shown_times(root, upper_->path(), ctx); });
    set_times(upper_->path(), times);
    Merged layers(lowers_);
    const auto copies = clean_marks(upper_->path(), layers, ctx);
    complete_links(upper_->path(), layers, copies, ctx);
    return upper_->seal(ctx);
  }

 private:
  std::unique_ptr<FuseMount> mount_;
  std::vector<std::string> lowers_;  // those of the layers
  std::optional<Upper> upper_;
};

// Every directory costs the process a look into every layer, so more of them are better merged. And it holds a file for
// each, and gets as many to begin with.
std::size_t layers_that_fit() {
  constexpr rlim_t reasonable = 200, files_per_layer = 4;
  struct rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) sys::fail("ask for the limit of open files");
  return static_cast<std::size_t>(std::min(reasonable, files.rlim_max / files_per_layer));
}

std::string program_of(std::string_view config_json) {
  const auto config = nlohmann::json::parse(config_json.empty() ? "{}" : config_json, nullptr, false);
  if (!config.is_object()) throw Error(Code::invalid_argument, "settings are not a JSON object");
  const auto setting = config.value("binary", nlohmann::json("fuse-overlayfs"));
  if (!setting.is_string()) throw Error(Code::invalid_argument, "\"binary\" is not a text");
  return sys::find_program(setting.get<std::string>(), "fuse-overlayfs");
}

}  // namespace

FuseSnapshotter::FuseSnapshotter(plugin::Host& host, std::string_view config_json)
    : host_(host), program_(program_of(config_json)), max_stack_(layers_that_fit()) {
  probe();
}

plugin::SnapshotterTraits FuseSnapshotter::traits() const {
  return {{plugin::form::overlay_trusted}, plugin::form::overlay_trusted, max_stack_};
}

std::unique_ptr<plugin::View> FuseSnapshotter::open(const plugin::ViewRequest& request, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the view any more");
  auto lowers = overlay::lower_paths(request, max_stack_);
  if (auto view = overlay::open_nothing(request)) return view;
  FuseMounter mounter(host_, program_, ctx);
  if (!request.writable) {
    mounter.mount({lowers, "", ""});
    return std::make_unique<FuseView>(mounter.take(), std::move(lowers), std::nullopt);
  }
  Upper upper(request.workspace, lowers);
  overlay::mount_with_stubs(mounter, request, lowers, upper);
  return std::make_unique<FuseView>(mounter.take(), std::move(lowers), std::move(upper));
}

}  // namespace dagger::fuse
