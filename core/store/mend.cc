#include "core/store/mend.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <set>
#include <vector>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"
#include "core/store/unpack/loose.h"

namespace dagger::store {
namespace {

// One layer of the stack.
struct Tree {
  UniqueFd root;
  std::string prefix;  // of overlay's marks in it
};

// What a layer has at a path.
struct Found {
  UniqueFd fd;
  struct stat st{};
  Xattrs xattrs;  // without overlay's marks
  Loose loose;
  bool opaque = false;
};

// A directory as the whole stack shows it.
struct Place {
  std::string path;
  std::vector<std::size_t> layers;  // that are seen in it, topmost first
  std::size_t look = 0;             // the layer that says what it looks like
};

Found look_at(const Tree& tree, UniqueFd fd) {
  Found found;
  found.fd = std::move(fd);
  found.st = stat_of(found.fd.get());
  if (!S_ISDIR(found.st.st_mode)) return found;
  for (auto& [name, value] : read_xattrs(found.fd.get(), ".")) {
    if (name == tree.prefix + loose_mark)
      found.loose = Loose::parse(value);
    else if (name == tree.prefix + "opaque")
      found.opaque = value == "y";
    else if (!is_overlay_mark(name))
      found.xattrs.emplace_back(name, std::move(value));
  }
  return found;
}

bool same_look(const Found& a, const Found& b, bool with_time) {
  return a.st.st_mode == b.st.st_mode && a.st.st_uid == b.st.st_uid && a.st.st_gid == b.st.st_gid &&
         a.xattrs == b.xattrs && (!with_time || mtime_ns(a.st) == mtime_ns(b.st));
}

class Mender {
 public:
  Mender(std::vector<Tree> trees, plugin::CallContext& ctx) : trees_(std::move(trees)), ctx_(ctx) {}

  // Whether there is anything to do.
  bool search() {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < trees_.size(); ++i) all.push_back(i);
    std::vector<Place> pending;
    visit("/", all, pending);
    while (!pending.empty()) {
      if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while layers were put together");
      const Place place = std::move(pending.back());
      pending.pop_back();
      for (const auto& name : children(place))
        visit(place.path == "/" ? "/" + name : place.path + "/" + name, place.layers, pending);
    }
    return !mended_.empty();
  }

  void build(int root) {
    std::map<std::string, std::size_t> wanted{{"/", looks_.at("/")}};
    for (const auto& path : mended_)
      for (std::string up = path; wanted.emplace(up, looks_.at(up)).second;) up = parent_path(up);
    for (const auto& [path, look] : wanted) {
      if (path == "/") continue;
      const auto dir = open_in_root_nofollow(root, parent_path(path), O_PATH | O_DIRECTORY);
      if (::mkdirat(dir.get(), base_name(path).c_str(), 0700) != 0) throw_errno("make directory " + path);
    }
    for (auto at = wanted.rbegin(); at != wanted.rend(); ++at) dress(root, at->first, at->second);
  }

 private:
  std::optional<Found> find(std::size_t layer, const std::string& path) const {
    const Tree& tree = trees_[layer];
    try {
      return look_at(tree, open_in_root_nofollow(tree.root.get(), path, O_PATH));
    } catch (const Error& e) {
      if (e.code() == Code::not_found) return std::nullopt;
      throw;
    }
  }

  // layers: that are seen in the directory which this one is in.
  void visit(const std::string& path, const std::vector<std::size_t>& layers, std::vector<Place>& pending) {
    Place place{path, {}, 0};
    std::optional<Found> top, look;
    bool closed = false;   // what is below is not seen
    bool settled = false;  // nor asked what the directory looks like
    for (const std::size_t layer : layers) {
      auto found = find(layer, path);
      if (!found) continue;
      if (!S_ISDIR(found->st.st_mode)) break;
      if (!closed) place.layers.push_back(layer);
      closed = closed || found->opaque;
      const bool says = !found->loose.implied;
      if (!top || (says && !settled)) {
        place.look = layer;
        (top ? look : top) = std::move(found);
        settled = says;
      }
      if (closed && settled) break;
    }
    if (!top) return;
    const bool looks_wrong = look && !same_look(*top, *look, path != "/");
    const bool shows_whiteouts = top->loose.whiteouts && place.layers.size() == 1;
    looks_[path] = place.look;
    if (looks_wrong || shows_whiteouts) mended_.push_back(path);
    pending.push_back(std::move(place));
  }

  // Those below which something may be loose.
  std::set<std::string> children(const Place& place) const {
    const bool alone = place.layers.size() == 1;  // then nothing below says what an implied directory looks like
    std::set<std::string> names;
    for (const std::size_t layer : place.layers) {
      const auto here = find(layer, place.path);
      if (!here || !(here->loose.whiteouts_below || (here->loose.implied_below && !alone))) continue;
      const auto dir = reopen_dir(here->fd.get());
      for (auto& name : sorted_names(dir.get())) {
        const auto st = stat_at(dir.get(), name);
        if (!S_ISDIR(st.st_mode)) continue;
        const auto loose = look_at(trees_[layer], open_at(dir.get(), name, O_PATH | O_NOFOLLOW)).loose;
        if (loose.whiteouts || loose.whiteouts_below || (!alone && loose.any())) names.insert(std::move(name));
      }
    }
    return names;
  }

  void dress(int root, const std::string& path, std::size_t layer) const {
    const auto model = find(layer, path);
    if (!model) throw Error(Code::internal, "layer lost its directory " + path);
    const auto fd = open_in_root_nofollow(root, path, O_RDONLY | O_DIRECTORY);
    if (::fchown(fd.get(), model->st.st_uid, model->st.st_gid) != 0) throw_errno("chown " + path);
    if (::fchmod(fd.get(), model->st.st_mode & 07777) != 0) throw_errno("chmod " + path);
    for (const auto& [name, value] : model->xattrs) write_xattr(fd.get(), ".", name, value);
    const timespec times[2] = {model->st.st_mtim, model->st.st_mtim};
    if (::futimens(fd.get(), times) != 0) throw_errno("set the times of " + path);
  }

  const std::vector<Tree> trees_;  // topmost first
  plugin::CallContext& ctx_;
  std::map<std::string, std::size_t> looks_;  // of every directory that was visited
  std::vector<std::string> mended_;
};

}  // namespace

std::optional<LayerId> mend(Store& store, const Stack& stack, plugin::CallContext& ctx) {
  const auto held = store.lease(stack);
  std::vector<Tree> trees;
  bool loose = false;
  const Stack single = without_repeats(stack);
  for (auto id = single.rbegin(); id != single.rend(); ++id) {
    const auto info = store.layer(*id);
    if (!info) throw Error(Code::not_found, "layer " + std::to_string(*id) + " is not in the store");
    Tree tree;
    for (const auto& place : info->places) {
      if (place.form == plugin::form::overlay_trusted) tree.prefix = trusted_overlay;
      if (place.form == plugin::form::overlay_user) tree.prefix = user_overlay;
      if (tree.prefix.empty()) continue;
      tree.root = open_file(place.path, O_RDONLY | O_DIRECTORY);
      break;
    }
    if (!tree.root) return std::nullopt;  // kept by a snapshotter in a way of its own
    const auto found = look_at(tree, open_at(tree.root.get(), ".", O_PATH));
    loose = loose || found.loose.any();
    trees.push_back(std::move(tree));
    if (found.opaque) break;
  }
  if (!loose) return std::nullopt;
  Mender mender(std::move(trees), ctx);
  if (!mender.search()) return std::nullopt;
  const auto workspace = store.directory();
  mender.build(workspace->root_fd());
  return workspace->seal(ctx);
}

}  // namespace dagger::store
