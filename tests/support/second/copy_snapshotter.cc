#include "tests/support/second/copy_snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/fs.h"
#include "tests/support/second/tree_copy.h"

namespace dagger::testing {
namespace {

const std::string& readable_place(const plugin::Layer& layer, const LayerMarks& marks) {
  for (const auto& place : layer.places)
    if (place.form == marks.form) return place.path;
  throw Error(Code::invalid_argument, "layer " + layer.id + " has no place of form " + marks.form);
}

struct stat lstat_of(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) throw_errno(path);
  return st;
}

void set_times(const std::string& path, const struct stat& st) {
  const timespec times[2] = {st.st_atim, st.st_mtim};
  if (::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(path);
}

// Makes what is missing of a stub's path, leaving no trace in the directory around; returns the topmost thing that was
// made.
std::string make_stub(const std::string& root, const plugin::MountStub& stub) {
  std::string path = root, made;
  struct stat around{};
  const auto clean = clean_path(stub.path);
  for (std::size_t at = 0; at < clean.size() && clean != "/";) {
    const auto next = std::min(clean.find('/', at + 1), clean.size());
    const auto parent = path;
    path += clean.substr(at, next - at);
    at = next;
    if (exists(path)) continue;
    if (made.empty()) made = path, around = lstat_of(parent);
    if (at == clean.size() && !stub.directory)
      open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    else
      make_dirs(path);
  }
  if (!made.empty()) set_times(parent_path(made), around);
  return made;
}

class CopyView final : public plugin::View {
 public:
  // scratch: where a read-only view keeps its copy.
  CopyView(const plugin::ViewRequest& request, const std::string& scratch, plugin::CallContext& ctx)
      : marks_(layer_marks()), writable_(request.writable) {
    if (!writable_) own_.emplace(scratch);
    base_ = writable_ ? request.workspace : own_->path();
    const auto root = base_ + "/root";
    make_dirs(root);
    for (const auto& layer : request.stack) apply_layer(readable_place(layer, marks_), root, marks_, ctx);
    for (const auto& stub : request.stubs)
      if (auto made = make_stub(root, stub); !made.empty()) stubs_.push_back(std::move(made));
    root_ = open_file(root, O_PATH | O_DIRECTORY);
    if (!writable_) return;
    before_ = record_tree(root);
    pass_timestamp_tick();
  }
  ~CopyView() override {
    root_.reset();
    try {
      remove_tree(base_ + "/root");
    } catch (const Error&) {  // the workspace, with what is left in it, belongs to the store
    }
  }
  CopyView(const CopyView&) = delete;
  CopyView& operator=(const CopyView&) = delete;

  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return false; }

  plugin::SealedLayer seal(plugin::CallContext& ctx) override {
    if (!writable_) throw Error(Code::invalid_argument, "a read-only view has nothing to seal");
    root_.reset();
    remove_stubs();
    return extract_changes(base_ + "/root", before_, base_ + "/layer", marks_, ctx);
  }

 private:
  // Stubs are no change: neither they, nor what making and removing them does to their parents.
  void remove_stubs() {
    const auto root = base_ + "/root";
    const auto relative = [&](const std::string& path) {
      return path == root ? std::string() : path.substr(root.size() + 1);
    };
    for (const auto& stub : stubs_) {
      const auto parent = parent_path(stub);
      if (!exists(parent)) continue;
      const auto now = lstat_of(parent);
      const auto old = before_.find(relative(parent));
      const bool untouched = old != before_.end() && old->second.st_ctim.tv_sec == now.st_ctim.tv_sec &&
                             old->second.st_ctim.tv_nsec == now.st_ctim.tv_nsec;
      remove_tree(stub);
      set_times(parent, now);
      if (untouched) old->second = lstat_of(parent);
      const auto gone = relative(stub);
      std::erase_if(before_, [&](const auto& e) { return e.first == gone || e.first.rfind(gone + "/", 0) == 0; });
    }
  }

  LayerMarks marks_;
  bool writable_;
  std::optional<TempDir> own_;
  std::string base_;
  UniqueFd root_;
  std::vector<std::string> stubs_;
  TreeState before_;
};

}  // namespace

plugin::SnapshotterTraits CopySnapshotter::traits() const {
  const auto marks = layer_marks();
  return {{marks.form}, marks.form, 0};
}

std::unique_ptr<plugin::View> CopySnapshotter::open(const plugin::ViewRequest& request, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  if (request.writable && request.workspace.empty())
    throw Error(Code::invalid_argument, "a writable view needs a workspace");
  return std::make_unique<CopyView>(request, std::string(host_.state_dir()), ctx);
}

}  // namespace dagger::testing
