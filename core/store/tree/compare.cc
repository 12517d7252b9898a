#include "core/store/tree/compare.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"

namespace dagger::store::tree {
namespace {

struct Name {
  std::string name;
  ino_t inode;
};

// With inodes, so that files which the layers share need no further look.
std::vector<Name> names_in(int dir) {
  std::vector<Name> names;
  if (dir < 0) return names;
  auto fd = reopen_dir(dir);
  const std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })> stream(::fdopendir(fd.get()));
  if (!stream) throw_errno("read a directory");
  fd.release();
  while (const dirent* e = ::readdir(stream.get())) {
    const std::string_view name = e->d_name;
    if (name != "." && name != "..") names.push_back({std::string(name), e->d_ino});
  }
  std::ranges::sort(names, {}, &Name::name);
  return names;
}

class Comparison {
 public:
  Comparison(const CompareLimits& limits, plugin::CallContext& ctx) : limits_(limits), ctx_(ctx) {}

  std::vector<Change> run(int before, int now) {
    directories(before, now, "");
    while (!open_.empty() && !full()) {
      const std::string path = std::move(open_.back());
      open_.pop_back();
      const auto old = open_in_root_nofollow(before, path, O_RDONLY | O_DIRECTORY);
      const auto fresh = open_in_root_nofollow(now, path, O_RDONLY | O_DIRECTORY);
      directories(old.get(), fresh.get(), path);
    }
    std::ranges::sort(changes_, {}, &Change::path);
    return std::move(changes_);
  }

 private:
  bool full() const { return changes_.size() >= limits_.changes || entries_ >= limits_.entries; }

  void directories(int before, int now, const std::string& path) {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while layers were compared");
    const auto old = names_in(before), fresh = names_in(now);
    entries_ += std::max(old.size(), fresh.size());
    auto o = old.begin(), n = fresh.begin();
    while ((o != old.end() || n != fresh.end()) && !full()) {
      if (n == fresh.end() || (o != old.end() && o->name < n->name)) {
        one(before, (o++)->name, path, ChangeKind::removed);
      } else if (o == old.end() || n->name < o->name) {
        one(now, (n++)->name, path, ChangeKind::added);
      } else {
        if (o->inode != n->inode) both(before, now, n->name, path);
        ++o, ++n;
      }
    }
  }

  void found(const std::string& path, const std::string& name, ChangeKind kind) {
    changes_.push_back({path.empty() ? name : path + "/" + name, kind});
  }
  // A name that only one of them has; a whiteout is the opposite of a file.
  void one(int dir, const std::string& name, const std::string& path, ChangeKind kind) {
    if (is_whiteout(stat_at(dir, name))) kind = kind == ChangeKind::added ? ChangeKind::removed : ChangeKind::added;
    found(path, name, kind);
  }
  void both(int before, int now, const std::string& name, const std::string& path) {
    const auto a = stat_at(before, name), b = stat_at(now, name);
    if (is_whiteout(a) || is_whiteout(b)) {
      if (is_whiteout(a) != is_whiteout(b)) found(path, name, is_whiteout(b) ? ChangeKind::removed : ChangeKind::added);
      return;
    }
    if (S_ISDIR(a.st_mode) && S_ISDIR(b.st_mode)) open_.push_back(path.empty() ? name : path + "/" + name);
    if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid ||
        (S_ISREG(a.st_mode) && !same_content(before, a, now, b, name)) ||
        (S_ISLNK(a.st_mode) && read_link_at(before, name) != read_link_at(now, name)))
      found(path, name, ChangeKind::changed);
  }
  bool same_content(int before, const struct stat& a, int now, const struct stat& b, const std::string& name) {
    if (a.st_size != b.st_size) return false;
    if (mtime_ns(a) == mtime_ns(b)) return true;
    const auto size = static_cast<std::uint64_t>(a.st_size);
    if (read_ + size > limits_.bytes) return false;
    read_ += size;
    const auto text = [&](int dir) { return read_all(open_at(dir, name, O_RDONLY | O_NOFOLLOW).get(), size); };
    return text(before) == text(now);
  }

  const CompareLimits& limits_;
  plugin::CallContext& ctx_;
  std::vector<Change> changes_;
  std::vector<std::string> open_;  // directories that both have
  std::size_t entries_ = 0;
  std::uint64_t read_ = 0;
};

}  // namespace

std::vector<Change> compare(int before, int now, const CompareLimits& limits, plugin::CallContext& ctx) {
  return Comparison(limits, ctx).run(before, now);
}

}  // namespace dagger::store::tree
