#include "plugins/common/overlay/opening.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "plugins/common/overlay/change_set.h"
#include "plugins/common/overlay/fs_context.h"
#include "plugins/common/overlay/stubs.h"
#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

struct stat look_at(const std::string& path) {
  struct stat st{};
  if (::fstat(sys::open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY).get(), &st) != 0) sys::fail("look at " + path);
  return st;
}

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) sys::fail("make directory " + path);
}

}  // namespace

std::vector<std::string> lower_paths(const plugin::ViewRequest& request, std::size_t most) {
  if (request.stack.size() > most)
    throw Error(Code::invalid_argument, "a stack of " + std::to_string(request.stack.size()) + " layers is beyond " +
                                            std::to_string(most) + ": flatten it first");
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

Upper::Upper(const std::string& workspace, const std::vector<std::string>& lowers) : path_(workspace + "/upper") {
  make_directory(path_);
  if (!lowers.empty()) {
    const auto st = look_at(lowers.front());
    const timespec times[] = {st.st_atim, st.st_mtim};
    if (::chown(path_.c_str(), st.st_uid, st.st_gid) != 0 || ::chmod(path_.c_str(), st.st_mode & 07777) != 0 ||
        ::utimensat(AT_FDCWD, path_.c_str(), times, 0) != 0)
      sys::fail("copy the attributes of " + lowers.front());
  }
  before_ = look_at(path_);
}

plugin::SealedLayer Upper::seal(plugin::CallContext& ctx) const {
  const auto changes = measure(path_, ctx);
  const auto after = look_at(path_);
  const bool same_root =
      after.st_mode == before_.st_mode && after.st_uid == before_.st_uid && after.st_gid == before_.st_gid;
  return {plugin::form::overlay_trusted, path_, changes.bytes, changes.entries, changes.entries == 0 && same_root};
}

plugin::SealedLayer FdView::seal(plugin::CallContext& ctx) {
  if (!upper_) throw Error(Code::invalid_argument, "a read-only view has no changes to seal");
  root_.reset();
  return upper_->seal(ctx);
}

std::unique_ptr<plugin::View> open_nothing(const plugin::ViewRequest& request) {
  if (!request.stack.empty()) return nullptr;
  if (!request.writable) return std::make_unique<FdView>(mount_nothing(), true, std::nullopt);
  if (!request.stubs.empty()) return nullptr;
  Upper upper(request.workspace, {});
  auto root = sys::open_at(AT_FDCWD, upper.path(), O_RDONLY | O_DIRECTORY);
  return std::make_unique<FdView>(std::move(root), false, std::move(upper));
}

void mount_with_stubs(Mounter& mounter, const plugin::ViewRequest& request, std::vector<std::string> lowers,
                      const Upper& upper) {
  MountRequest r{std::move(lowers), upper.path(), request.workspace + "/work"};
  make_directory(r.work);
  if (!request.stubs.empty()) {
    r.lowers.push_back(request.workspace + "/stubs");
    make_lowest_stubs(r.lowers.back(), request.stubs);
  }
  const int root = mounter.mount(r);
  const auto hidden = missing_stubs(root, request.stubs);
  if (hidden.empty()) return;
  r.lowers.insert(r.lowers.begin(), request.workspace + "/stubs-on-top");
  make_topmost_stubs(r.lowers.front(), root, hidden);
  mounter.unmount();
  r.work = request.workspace + "/work-again";  // that of a volatile overlay serves once
  make_directory(r.work);
  mounter.mount(r);
}

}  // namespace dagger::overlay
