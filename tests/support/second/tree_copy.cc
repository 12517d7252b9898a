#include "tests/support/second/tree_copy.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "core/base/fs.h"

namespace dagger::testing {
namespace {

constexpr int max_depth = 512;  // of directories; a path is shorter than PATH_MAX anyway

struct stat lstat_of(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) throw_errno(path);
  return st;
}

bool missing(const std::string& path) {
  struct stat st{};
  return ::lstat(path.c_str(), &st) != 0;
}

bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto e = std::filesystem::directory_iterator(dir, error); !error && e != std::filesystem::directory_iterator();
       e.increment(error))
    names.push_back(e->path().filename());
  if (error) throw Error(Code::internal, dir + ": " + error.message());
  return names;
}

void check(const plugin::CallContext& ctx, int depth) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  if (depth > max_depth) throw Error(Code::unsupported, "a tree is deeper than " + std::to_string(max_depth));
}

// Owner, mode and xattrs, but not times: those come last, for a directory after its entries.
void copy_attributes(const std::string& from, const struct stat& st, const std::string& to, const LayerMarks& marks) {
  if (::lchown(to.c_str(), st.st_uid, st.st_gid) != 0) throw_errno(to);
  if (!S_ISLNK(st.st_mode) && ::chmod(to.c_str(), st.st_mode & 07777) != 0) throw_errno(to);
  std::string names(XATTR_LIST_MAX, '\0');
  const auto size = ::llistxattr(from.c_str(), names.data(), names.size());
  if (size < 0 && errno != ENOTSUP) throw_errno(from);
  names.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  for (std::size_t at = 0; at < names.size(); at += std::strlen(names.c_str() + at) + 1) {
    const char* name = names.c_str() + at;
    if (std::strncmp(name, marks.xattr_prefix, std::strlen(marks.xattr_prefix)) == 0) continue;
    std::string value(XATTR_SIZE_MAX, '\0');
    const auto n = ::lgetxattr(from.c_str(), name, value.data(), value.size());
    if (n < 0 || ::lsetxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(n), 0) != 0)
      throw_errno(to + ", " + name);
  }
}

void copy_times(const struct stat& st, const std::string& to) {
  const timespec times[2] = {st.st_atim, st.st_mtim};
  if (::utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(to);
}

void copy_bytes(const std::string& from, const struct stat& st, const std::string& to) {
  const auto in = open_file(from, O_RDONLY | O_NOFOLLOW);
  const auto out = open_file(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
  for (off_t at = 0; at < st.st_size;) {
    const auto n = ::sendfile(out.get(), in.get(), &at, static_cast<std::size_t>(st.st_size - at));
    if (n < 0) throw_errno(to);
    if (n == 0) break;
  }
}

class Applier {
 public:
  Applier(const LayerMarks& marks, plugin::CallContext& ctx) : marks_(marks), ctx_(ctx) {}

  // Depth is bounded by check().
  void directory(const std::string& from, const struct stat& st, const std::string& to, int depth) {
    check(ctx_, depth);
    if (!missing(to) && !S_ISDIR(lstat_of(to).st_mode)) remove_tree(to);
    if (missing(to) && ::mkdir(to.c_str(), 0700) != 0) throw_errno(to);
    if (::lgetxattr(from.c_str(), marks_.opaque, nullptr, 0) > 0)
      for (const auto& name : names_in(to)) remove_tree(to + "/" + name);
    for (const auto& name : names_in(from)) entry(from + "/" + name, to + "/" + name, depth);
    copy_attributes(from, st, to, marks_);
    copy_times(st, to);
  }

 private:
  void entry(const std::string& from, const std::string& to, int depth) {
    const auto st = lstat_of(from);
    if (S_ISDIR(st.st_mode)) return directory(from, st, to, depth + 1);
    remove_tree(to);
    if (is_whiteout(st)) return;
    if (st.st_nlink > 1) {
      const auto [first, added] = links_.try_emplace({st.st_dev, st.st_ino}, to);
      if (!added) {
        if (::link(first->second.c_str(), to.c_str()) != 0) throw_errno(to);
        return;
      }
    }
    if (S_ISREG(st.st_mode)) {
      copy_bytes(from, st, to);
    } else if (S_ISLNK(st.st_mode)) {
      if (::symlink(std::filesystem::read_symlink(from).c_str(), to.c_str()) != 0) throw_errno(to);
    } else if (::mknod(to.c_str(), st.st_mode, st.st_rdev) != 0) {
      throw_errno(to);
    }
    copy_attributes(from, st, to, marks_);
    copy_times(st, to);
  }

  const LayerMarks& marks_;
  plugin::CallContext& ctx_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

class Extractor {
 public:
  Extractor(const TreeState& before, const LayerMarks& marks, plugin::CallContext& ctx)
      : before_(before), marks_(marks), ctx_(ctx) {
    for (const auto& [path, st] : before_)
      if (!path.empty()) children_[parent(path)].push_back(path);
  }

  // True when the layer directory `to` was needed. existed: the directory was there before, as the same directory.
  bool directory(const std::string& root, const std::string& relative, const std::string& to, int depth) {
    check(ctx_, depth);
    const auto from = relative.empty() ? root : root + "/" + relative;
    const auto st = lstat_of(from);
    const auto old = before_.find(relative);
    const bool was_there = old != before_.end();
    const bool same = was_there && S_ISDIR(old->second.st_mode) && old->second.st_ino == st.st_ino;
    bool needed = !same || changed(old->second, st);
    if (::mkdir(to.c_str(), 0700) != 0) throw_errno(to);
    for (const auto& name : names_in(from)) needed |= entry(root, relative, name, to, depth);
    if (same) needed |= whiteouts(root, relative, to);
    if (!needed) {
      if (::rmdir(to.c_str()) != 0) throw_errno(to);
      return false;
    }
    copy_attributes(from, st, to, marks_);
    if (was_there && !same && ::lsetxattr(to.c_str(), marks_.opaque, "y", 1, 0) != 0) throw_errno(to);
    copy_times(st, to);
    count(st);
    return true;
  }
  plugin::SealedLayer sealed;

 private:
  static std::string parent(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }
  static bool changed(const struct stat& a, const struct stat& b) {
    return a.st_ino != b.st_ino || a.st_mode != b.st_mode || a.st_size != b.st_size ||
           a.st_ctim.tv_sec != b.st_ctim.tv_sec || a.st_ctim.tv_nsec != b.st_ctim.tv_nsec;
  }
  void count(const struct stat& st) {
    ++sealed.entries;
    sealed.bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
  }

  bool entry(const std::string& root, const std::string& dir, const std::string& name, const std::string& to,
             int depth) {
    const auto relative = dir.empty() ? name : dir + "/" + name;
    const auto st = lstat_of(root + "/" + relative);
    if (S_ISDIR(st.st_mode)) return directory(root, relative, to + "/" + name, depth + 1);
    const auto old = before_.find(relative);
    if (old != before_.end() && !changed(old->second, st)) return false;
    if (::rename((root + "/" + relative).c_str(), (to + "/" + name).c_str()) != 0) throw_errno(to + "/" + name);
    moved_.insert(relative);
    count(st);
    return true;
  }

  bool whiteouts(const std::string& root, const std::string& relative, const std::string& to) {
    bool any = false;
    for (const auto& path : children_[relative]) {
      if (moved_.count(path) != 0 || !missing(root + "/" + path)) continue;
      const auto mark = to + "/" + base_name("/" + path);
      if (::mknod(mark.c_str(), S_IFCHR, makedev(0, 0)) != 0) throw_errno(mark);
      ++sealed.entries;
      any = true;
    }
    return any;
  }

  const TreeState& before_;
  const LayerMarks& marks_;
  plugin::CallContext& ctx_;
  std::map<std::string, std::vector<std::string>> children_;  // before, by directory
  std::set<std::string> moved_;
};

}  // namespace

LayerMarks layer_marks() {
  if (::geteuid() == 0) return {plugin::form::overlay_trusted, "trusted.overlay.opaque", "trusted.overlay."};
  return {plugin::form::overlay_user, "user.overlay.opaque", "user.overlay."};
}

void apply_layer(const std::string& layer, const std::string& root, const LayerMarks& marks, plugin::CallContext& ctx) {
  Applier(marks, ctx).directory(layer, lstat_of(layer), root, 0);
}

TreeState record_tree(const std::string& root) {
  TreeState state;
  state[""] = lstat_of(root);
  for (std::vector<std::string> open = {""}; !open.empty();) {
    const auto dir = std::move(open.back());
    open.pop_back();
    for (const auto& name : names_in(root + "/" + dir)) {
      const auto path = dir.empty() ? name : dir + "/" + name;
      const auto& st = state[path] = lstat_of(root + "/" + path);
      if (S_ISDIR(st.st_mode)) open.push_back(path);
    }
  }
  return state;
}

// File times advance with the coarse clock, every few milliseconds.
void pass_timestamp_tick() {
  timespec start{}, now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &start);
  do {
    const timespec pause{0, 500'000};
    ::nanosleep(&pause, nullptr);
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  } while (now.tv_sec == start.tv_sec && now.tv_nsec == start.tv_nsec);
}

plugin::SealedLayer extract_changes(const std::string& root, const TreeState& before, const std::string& path,
                                    const LayerMarks& marks, plugin::CallContext& ctx) {
  Extractor extractor(before, marks, ctx);
  extractor.sealed.empty = !extractor.directory(root, "", path, 0);
  extractor.sealed.form = marks.form;
  extractor.sealed.path = path;
  return extractor.sealed;
}

}  // namespace dagger::testing
