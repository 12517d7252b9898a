#include "core/store/tree/merge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>

#include "core/base/fs.h"
#include "core/store/tree/copy.h"
#include "core/store/tree/dir.h"

namespace dagger::store::tree {
namespace {

class Merger {
 public:
  Merger(const std::vector<std::string>& layers, int target, const std::string& mark_prefix, plugin::CallContext& ctx)
      : layers_(layers), target_(target), opaque_mark_(mark_prefix + "opaque"), ctx_(ctx) {}

  Merged run() {
    Directory top;
    for (std::size_t i = layers_.size(); i-- > 0;) top.from.push_back(i);
    open_.push_back(std::move(top));
    while (!open_.empty()) {
      const Directory dir = std::move(open_.back());
      open_.pop_back();
      fill(dir);
      made_.push_back({dir.path, dir.from.front(), dir.opaque});
    }
    // Last, since every new entry changes the times.
    for (auto dir = made_.rbegin(); dir != made_.rend(); ++dir) finish(*dir);
    return total_;
  }

 private:
  struct Directory {
    std::string path = ".";
    std::vector<std::size_t> from;  // the layers that have it, topmost first, down to one that hides those below
    bool opaque = false;
  };
  struct Made {
    std::string path;
    std::size_t topmost;
    bool opaque;
  };
  // A name that is there already: what layers further down have of it is hidden, unless it is a directory that is still
  // open.
  struct Name {
    std::size_t child = 0;  // in the children
    bool open = false;
  };

  UniqueFd open_dir(std::size_t layer, const std::string& path) const {
    return open_file(layers_[layer] + "/" + path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
  bool is_opaque(int dir, const std::string& name) const {
    const auto marks = read_xattrs(dir, name);
    return std::ranges::any_of(marks, [this](const auto& m) { return m.first == opaque_mark_ && m.second == "y"; });
  }

  void fill(const Directory& dir);
  void add_lower(Directory& child, Name& known, int from, std::size_t layer, const std::string& name,
                 const struct stat& st) const;
  void link(int from, const std::string& name, const struct stat& st, int to);
  void make_again(int from, const std::string& name, const struct stat& st, int to);
  void finish(const Made& made);

  const std::vector<std::string>& layers_;
  const int target_;
  const std::string opaque_mark_;
  plugin::CallContext& ctx_;
  std::vector<Directory> open_;
  std::vector<Made> made_;
  Merged total_;
};

void Merger::fill(const Directory& dir) {
  const auto to = open_in_root_nofollow(target_, dir.path, O_RDONLY | O_DIRECTORY);
  std::unordered_map<std::string, Name> names;
  std::vector<Directory> children;
  for (const std::size_t layer : dir.from) {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while layers were merged");
    const auto from = open_dir(layer, dir.path);
    for (const auto& name : sorted_names(from.get())) {
      const auto st = stat_at(from.get(), name);
      auto [at, fresh] = names.try_emplace(name);
      if (!fresh) {
        if (at->second.open) add_lower(children[at->second.child], at->second, from.get(), layer, name, st);
        continue;
      }
      ++total_.entries;
      if (!S_ISDIR(st.st_mode)) {
        link(from.get(), name, st, to.get());
        continue;
      }
      if (::mkdirat(to.get(), name.c_str(), 0700) != 0) throw_errno("make directory " + name);
      const bool opaque = is_opaque(from.get(), name);
      at->second = {children.size(), !opaque};
      children.push_back({dir.path + "/" + name, {layer}, opaque});
    }
  }
  std::ranges::move(children, std::back_inserter(open_));
}

// A lower layer has something where a higher one has a directory.
void Merger::add_lower(Directory& child, Name& known, int from, std::size_t layer, const std::string& name,
                       const struct stat& st) const {
  if (S_ISDIR(st.st_mode)) child.from.push_back(layer);
  // Also a file or a whiteout hides what is below it.
  if (!S_ISDIR(st.st_mode) || is_opaque(from, name)) {
    child.opaque = true;
    known.open = false;
  }
}

void Merger::link(int from, const std::string& name, const struct stat& st, int to) {
  if (::linkat(from, name.c_str(), to, name.c_str(), 0) == 0) return;
  if (errno != EMLINK && errno != EXDEV && errno != EPERM) throw_errno("link " + name);
  total_.bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
  if (S_ISREG(st.st_mode))
    copy(from, "/" + name, to, "/" + name, {}, ctx_);
  else
    make_again(from, name, st, to);
}

void Merger::make_again(int from, const std::string& name, const struct stat& st, int to) {
  const int made = S_ISLNK(st.st_mode) ? ::symlinkat(read_link_at(from, name).c_str(), to, name.c_str())
                                       : ::mknodat(to, name.c_str(), st.st_mode, st.st_rdev);
  if (made != 0) throw_errno("make " + name);
  if (::fchownat(to, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + name);
  if (!S_ISLNK(st.st_mode) && ::fchmodat(to, name.c_str(), st.st_mode & 07777, 0) != 0) throw_errno("chmod " + name);
  for (const auto& [attribute, value] : read_xattrs(from, name)) write_xattr(to, name, attribute, value);
  const timespec times[2] = {st.st_atim, st.st_mtim};
  if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + name);
}

void Merger::finish(const Made& made) {
  const auto from = open_dir(made.topmost, made.path);
  const auto to = open_in_root_nofollow(target_, made.path, O_RDONLY | O_DIRECTORY);
  const auto st = stat_of(from.get());
  if (::fchown(to.get(), st.st_uid, st.st_gid) != 0) throw_errno("chown " + made.path);
  if (::fchmod(to.get(), st.st_mode & 07777) != 0) throw_errno("chmod " + made.path);
  for (const auto& [attribute, value] : read_xattrs(from.get(), "."))
    if (!is_overlay_mark(attribute)) write_xattr(to.get(), ".", attribute, value);
  if (made.opaque) write_xattr(to.get(), ".", opaque_mark_, "y");
  const timespec times[2] = {st.st_atim, st.st_mtim};
  if (::futimens(to.get(), times) != 0) throw_errno("set the times of " + made.path);
  total_.bytes += static_cast<std::uint64_t>(stat_of(to.get()).st_blocks) * 512;
}

}  // namespace

Merged merge_layers(const std::vector<std::string>& layers, int target, const std::string& mark_prefix,
                    plugin::CallContext& ctx) {
  return Merger(layers, target, mark_prefix, ctx).run();
}

}  // namespace dagger::store::tree
