#include "plugins/snapshotter-overlay/snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

// The one mount of a view.
class OverlayMounter final : public Mounter {
 public:
  OverlayMounter(Way way, const std::string& scratch) : way_(way), scratch_(scratch) {}
  int mount(const MountRequest& request) override {
    if (request.lowers.size() <= max_lowers) {
      root_ = mount_overlay(way_, request, scratch_);
      return root_.get();
    }
    // The lowest layers go into a mount of their own: with stubs, the longest stack is longer than one mount takes.
    MountRequest above = request, below;
    const auto keep = above.lowers.begin() + max_lowers / 2;
    below.lowers.assign(keep, above.lowers.end());
    above.lowers.erase(keep, above.lowers.end());
    const auto base = mount_overlay(way_, below, scratch_);
    above.lowers.push_back(sys::fd_path(base.get()));
    root_ = mount_overlay(way_, above, scratch_);
    return root_.get();
  }
  void unmount() override { root_.reset(); }
  UniqueFd take() { return std::move(root_); }

 private:
  Way way_;
  const std::string& scratch_;
  UniqueFd root_;
};

Way chosen_way(std::string_view config_json, const std::string& probe_dir) {
  const auto config = nlohmann::json::parse(config_json.empty() ? "{}" : config_json, nullptr, false);
  if (!config.is_object()) throw Error(Code::invalid_argument, "settings are not a JSON object");
  const auto setting = config.value("mount", nlohmann::json("auto"));
  const auto best = probe(probe_dir);
  if (setting == "auto") return best;
  if (setting == "classic") return Way::classic;
  if (setting != "new") throw Error(Code::invalid_argument, "\"mount\" is none of \"auto\", \"new\", \"classic\"");
  if (best != Way::new_api)
    throw Error(Code::unsupported,
                "this kernel lacks the new way to mount overlays (Linux 6.7): set \"mount\" to \"auto\"");
  return best;
}

}  // namespace

OverlaySnapshotter::OverlaySnapshotter(plugin::Host& host, std::string_view config_json)
    : empty_(std::string(host.state_dir()) + "/empty"), scratch_(std::string(host.state_dir()) + "/scratch") {
  for (const auto& path : {empty_, scratch_})
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) sys::fail("make directory " + path);
  way_ = chosen_way(config_json, empty_);
}

plugin::SnapshotterTraits OverlaySnapshotter::traits() const {
  return {{plugin::form::overlay_trusted}, plugin::form::overlay_trusted, max_lowers};
}

std::unique_ptr<plugin::View> OverlaySnapshotter::open(const plugin::ViewRequest& request, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the view any more");
  auto lowers = lower_paths(request, max_lowers);
  if (auto view = open_nothing(request)) return view;
  OverlayMounter mounter(way_, scratch_);
  if (!request.writable) {
    if (lowers.size() == 1) lowers.push_back(empty_);  // a lone layer is mounted too: its whiteouts must not show
    mounter.mount({std::move(lowers), "", ""});
    return std::make_unique<FdView>(mounter.take(), true, std::nullopt);
  }
  Upper upper(request.workspace, lowers);
  mount_with_stubs(mounter, request, std::move(lowers), upper);
  return std::make_unique<FdView>(mounter.take(), true, std::move(upper));
}

}  // namespace dagger::overlay
