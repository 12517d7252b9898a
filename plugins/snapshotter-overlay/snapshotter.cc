#include "plugins/snapshotter-overlay/snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "plugins/common/sys/sys.h"
#include "plugins/snapshotter-overlay/change_set.h"
#include "plugins/snapshotter-overlay/stubs.h"

namespace dagger::overlay {
namespace {

using plugin::MountStub;
using plugin::ViewRequest;

struct stat look_at(int fd, const std::string& what) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) sys::fail("look at " + what);
  return st;
}

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) sys::fail("make directory " + path);
}

class OverlayView final : public plugin::View {
 public:
  // upper: "" for a read-only view.
  OverlayView(UniqueFd root, bool detached, std::string upper)
      : root_(std::move(root)), detached_(detached), upper_(std::move(upper)) {
    if (!upper_.empty()) before_ = look_at(sys::open_at(AT_FDCWD, upper_, O_PATH).get(), upper_);
  }
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return detached_; }

  plugin::SealedLayer seal(plugin::CallContext& ctx) override {
    if (upper_.empty()) throw Error(Code::invalid_argument, "a read-only view has no changes to seal");
    root_.reset();
    const auto changes = measure(upper_, ctx);
    const auto after = look_at(sys::open_at(AT_FDCWD, upper_, O_PATH).get(), upper_);
    const bool same_root =
        after.st_mode == before_.st_mode && after.st_uid == before_.st_uid && after.st_gid == before_.st_gid;
    return {plugin::form::overlay_trusted, upper_, changes.bytes, changes.entries, changes.entries == 0 && same_root};
  }

 private:
  UniqueFd root_;
  bool detached_;
  std::string upper_;
  struct stat before_{};
};

// Topmost first, as overlay wants them.
std::vector<std::string> lower_paths(const ViewRequest& request) {
  std::vector<std::string> out;
  for (auto layer = request.stack.rbegin(); layer != request.stack.rend(); ++layer) {
    const auto place = std::find_if(layer->places.begin(), layer->places.end(),
                                    [](const auto& p) { return p.form == plugin::form::overlay_trusted; });
    if (place == layer->places.end())
      throw Error(Code::invalid_argument,
                  "layer " + layer->id + " has no directory of the form " + plugin::form::overlay_trusted);
    out.push_back(place->path);
  }
  return out;
}

// The upper's root is what the view's root looks like: it takes the attributes of the topmost layer's.
void make_upper(const std::string& upper, const std::vector<std::string>& lowers) {
  make_directory(upper);
  if (lowers.empty()) return;
  const auto st = look_at(sys::open_at(AT_FDCWD, lowers.front(), O_PATH | O_DIRECTORY).get(), lowers.front());
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (::chown(upper.c_str(), st.st_uid, st.st_gid) != 0 || ::chmod(upper.c_str(), st.st_mode & 07777) != 0 ||
      ::utimensat(AT_FDCWD, upper.c_str(), times, 0) != 0)
    sys::fail("copy the attributes of " + lowers.front());
}

// One view in the making: the mount may need a second try with more stubs.
class Opening {
 public:
  Opening(Way way, const std::string& empty, const std::string& scratch, const ViewRequest& request)
      : way_(way), empty_(empty), scratch_(scratch), request_(request), lowers_(lower_paths(request)) {}

  std::unique_ptr<plugin::View> writable() {
    const std::string upper = request_.workspace + "/upper";
    make_upper(upper, lowers_);
    if (lowers_.empty() && request_.stubs.empty())
      return std::make_unique<OverlayView>(sys::open_at(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY), false, upper);
    if (!request_.stubs.empty()) {
      lowest_ = request_.workspace + "/stubs";
      make_lowest_stubs(*lowest_, request_.stubs);
    }
    auto root = mount(upper, "/work");
    if (const auto hidden = missing_stubs(root.get(), request_.stubs); !hidden.empty()) {
      topmost_ = request_.workspace + "/stubs-on-top";
      make_topmost_stubs(*topmost_, root.get(), hidden);
      root.reset();
      root = mount(upper, "/work-again");  // a volatile overlay's work directory serves once
    }
    return std::make_unique<OverlayView>(std::move(root), true, upper);
  }

  // Also a lone layer is mounted: its whiteouts must not show.
  std::unique_ptr<plugin::View> read_only() {
    if (lowers_.empty()) return std::make_unique<OverlayView>(mount_nothing(), true, "");
    if (lowers_.size() == 1) lowest_ = empty_;
    return std::make_unique<OverlayView>(mount("", ""), true, "");
  }

 private:
  UniqueFd mount(const std::string& upper, const char* work_name) {
    MountRequest r;
    if (topmost_) r.lowers.push_back(*topmost_);
    r.lowers.insert(r.lowers.end(), lowers_.begin(), lowers_.end());
    if (lowest_) r.lowers.push_back(*lowest_);
    UniqueFd base;
    if (r.lowers.size() > max_lowers) {
      base = fold(r.lowers);
      r.lowers.push_back(sys::fd_path(base.get()));
    }
    if (!upper.empty()) {
      r.upper = upper;
      r.work = request_.workspace + work_name;
      make_directory(r.work);
    }
    return mount_overlay(way_, r, scratch_);
  }

  // Takes the lowest layers off into a mount of their own: with stubs, the longest stack is longer than one mount
  // takes.
  UniqueFd fold(std::vector<std::string>& lowers) const {
    constexpr std::size_t keep = max_lowers / 2;
    MountRequest below;
    below.lowers.assign(lowers.begin() + keep, lowers.end());
    lowers.resize(keep);
    return mount_overlay(way_, below, scratch_);
  }

  Way way_;
  const std::string &empty_, &scratch_;
  const ViewRequest& request_;
  std::vector<std::string> lowers_;
  std::optional<std::string> lowest_, topmost_;
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

std::unique_ptr<plugin::View> OverlaySnapshotter::open(const ViewRequest& request, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the view any more");
  if (request.stack.size() > max_lowers)
    throw Error(Code::invalid_argument, "a stack of " + std::to_string(request.stack.size()) + " layers is beyond " +
                                            std::to_string(max_lowers) + ": flatten it first");
  Opening opening(way_, empty_, scratch_, request);
  return request.writable ? opening.writable() : opening.read_only();
}

}  // namespace dagger::overlay
