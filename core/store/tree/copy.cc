#include "core/store/tree/copy.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/walk.h"

namespace dagger::store::tree {
namespace {

void copy_bytes(int from, int to, std::uint64_t size, plugin::CallContext& ctx) {
  constexpr std::size_t piece = 64 << 20;
  bool in_kernel = true;
  std::vector<char> buffer;
  for (std::uint64_t done = 0; done < size;) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled while copying a file");
    ssize_t n = -1;
    if (in_kernel) {
      n = ::copy_file_range(from, nullptr, to, nullptr, std::min<std::uint64_t>(piece, size - done), 0);
      if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        in_kernel = false;
        continue;
      }
    } else {
      buffer.resize(1 << 20);
      n = ::read(from, buffer.data(), buffer.size());
      if (n > 0) write_all(to, {buffer.data(), static_cast<std::size_t>(n)});
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("copy a file");
    if (n == 0) return;  // shorter than its size said
    done += static_cast<std::uint64_t>(n);
  }
}

Xattrs read_xattrs_of(int fd) {
  std::string names(64 << 10, '\0');
  const ssize_t n = ::flistxattr(fd, names.data(), names.size());
  if (n < 0 && errno != ENOTSUP && errno != EPERM) throw_errno("list extended attributes");
  Xattrs all;
  for (std::size_t at = 0; n > 0 && at < static_cast<std::size_t>(n);) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    std::string value(64 << 10, '\0');
    const ssize_t size = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (size < 0) continue;
    value.resize(static_cast<std::size_t>(size));
    all.emplace_back(name, std::move(value));
  }
  return all;
}

class Copier {
 public:
  Copier(const CopyOptions& options, plugin::CallContext& ctx) : options_(options), ctx_(ctx) {}

  // Entry `name` of from_dir becomes `as` in to_dir.
  void entry(int from_dir, const std::string& name, const struct stat& st, int to_dir, const std::string& as) {
    if (S_ISDIR(st.st_mode)) return make_dir(from_dir, name, st, to_dir, as);
    if (::unlinkat(to_dir, as.c_str(), 0) != 0 && errno != ENOENT) {
      if (errno == EISDIR || errno == EPERM)
        throw Error(Code::invalid_argument, "cannot replace directory " + as + " with a file");
      throw_errno("replace " + as);
    }
    if (linked(st, to_dir, as)) return;
    if (S_ISREG(st.st_mode)) {
      const auto from = open_at(from_dir, name, O_RDONLY | O_NOFOLLOW);
      const auto to = open_at(to_dir, as, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      copy_bytes(from.get(), to.get(), static_cast<std::uint64_t>(st.st_size), ctx_);
    } else if (S_ISLNK(st.st_mode)) {
      if (::symlinkat(read_link_at(from_dir, name).c_str(), to_dir, as.c_str()) != 0) throw_errno("symlink " + as);
    } else if (::mknodat(to_dir, as.c_str(), st.st_mode & S_IFMT, st.st_rdev) != 0) {
      throw_errno("make " + as);
    }
    attributes(from_dir, name, st, to_dir, as);
    times(st, to_dir, as);
  }

  void make_dir(int from_dir, const std::string& name, const struct stat& st, int to_dir, const std::string& as) {
    if (::mkdirat(to_dir, as.c_str(), 0700) == 0) return attributes(from_dir, name, st, to_dir, as);
    if (errno != EEXIST) throw_errno("make directory " + as);
    if (!S_ISDIR(stat_at(to_dir, as).st_mode))
      throw Error(Code::invalid_argument, "cannot replace file " + as + " with a directory");
  }

  void attributes(int from_dir, const std::string& name, const struct stat& st, int to_dir,
                  const std::string& as) const {
    const auto uid = options_.owner.set ? options_.owner.uid : st.st_uid;
    const auto gid = options_.owner.set ? options_.owner.gid : st.st_gid;
    if (::fchownat(to_dir, as.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + as);
    for (const auto& [attribute, value] : read_xattrs(from_dir, name))
      if (!is_overlay_mark(attribute)) write_xattr(to_dir, as, attribute, value);
    if (S_ISLNK(st.st_mode)) return;
    const auto mode = options_.mode >= 0 ? static_cast<mode_t>(options_.mode) : st.st_mode & 07777;
    if (::fchmodat(to_dir, as.c_str(), mode, 0) != 0) throw_errno("chmod " + as);
  }

  // A single file that was found through links: it is known by its fd, not by a name.
  void file_by_fd(int path_fd, const struct stat& st, int to_dir, const std::string& as) {
    if (!S_ISREG(st.st_mode)) throw Error(Code::invalid_argument, as + " is not a regular file");
    const auto from = open_file("/proc/self/fd/" + std::to_string(path_fd), O_RDONLY);
    if (::unlinkat(to_dir, as.c_str(), 0) != 0 && errno != ENOENT)
      throw Error(Code::invalid_argument, "cannot replace directory " + as + " with a file");
    const auto to = open_at(to_dir, as, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    copy_bytes(from.get(), to.get(), static_cast<std::uint64_t>(st.st_size), ctx_);
    const auto uid = options_.owner.set ? options_.owner.uid : st.st_uid;
    const auto gid = options_.owner.set ? options_.owner.gid : st.st_gid;
    if (::fchown(to.get(), uid, gid) != 0) throw_errno("chown " + as);
    for (const auto& [attribute, value] : read_xattrs_of(from.get()))
      if (!is_overlay_mark(attribute)) write_xattr(to_dir, as, attribute, value);
    const auto mode = options_.mode >= 0 ? static_cast<mode_t>(options_.mode) : st.st_mode & 07777;
    if (::fchmod(to.get(), mode) != 0) throw_errno("chmod " + as);
    times(st, to_dir, as);
  }

  static void times(const struct stat& st, int to_dir, const std::string& as) {
    const timespec both[2] = {st.st_atim, st.st_mtim};
    if (::utimensat(to_dir, as.c_str(), both, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + as);
  }

 private:
  // A second name of a file that was copied already becomes a second name of the copy.
  bool linked(const struct stat& st, int to_dir, const std::string& as) {
    if (st.st_nlink < 2 || S_ISDIR(st.st_mode)) return false;
    const auto [it, fresh] = links_.try_emplace({st.st_dev, st.st_ino}, -1);
    if (!fresh) {
      const std::string first = "/proc/self/fd/" + std::to_string(it->second.get());
      if (::linkat(AT_FDCWD, first.c_str(), to_dir, as.c_str(), AT_SYMLINK_FOLLOW) == 0) return true;
      return false;  // too many links: a copy will do
    }
    pending_link_ = &it->second;
    return false;
  }

 public:
  void remember_link(int to_dir, const std::string& as) {
    if (pending_link_ == nullptr) return;
    // One fd per linked inode, within reason; others become copies.
    if (links_.size() <= max_links) {
      pending_link_->reset(::openat(to_dir, as.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    }
    pending_link_ = nullptr;
  }

 private:
  static constexpr std::size_t max_links = 256;
  const CopyOptions& options_;
  plugin::CallContext& ctx_;
  std::map<std::pair<dev_t, ino_t>, UniqueFd> links_;
  UniqueFd* pending_link_ = nullptr;
};

// The directories on the way to the current entry, in the target; made when the first selected entry below is met.
class Way {
 public:
  Way(Copier& copier, int source_top, UniqueFd target_top) : copier_(copier), source_top_(source_top) {
    open_.push_back({"", std::move(target_top), {}, false});
  }
  // The target directory for entries of this relative path.
  int to(const std::string& path) {
    while (open_.back().path.size() > path.size() || !covers(open_.back().path, path)) close_last();
    while (open_.back().path != path) {
      const auto& at = open_.back().path;
      const auto next = path.find('/', at.empty() ? 0 : at.size() + 1);
      const std::string child = path.substr(0, next);
      const std::string name = base_name(child);
      const auto source = open_in_root_nofollow(source_top_, child, O_PATH);
      const auto st = stat_of(source.get());
      const bool existed = try_stat_at(open_.back().dir.get(), name).has_value();
      const auto source_parent = open_in_root(source_top_, parent_path("/" + child), O_PATH | O_DIRECTORY);
      const auto readable = reopen_dir(source_parent.get());
      copier_.make_dir(readable.get(), name, st, open_.back().dir.get(), name);
      auto dir = open_dir_at(open_.back().dir.get(), name);
      open_.push_back({child, std::move(dir), st, !existed});
    }
    return open_.back().dir.get();
  }
  void close() {
    while (open_.size() > 1) close_last();
  }

 private:
  struct Dir {
    std::string path;
    UniqueFd dir;
    struct stat source;
    bool made;
  };
  static bool covers(const std::string& parent, const std::string& path) {
    return parent.empty() || path == parent || (path.starts_with(parent) && path[parent.size()] == '/');
  }
  void close_last() {  // times last: every entry that is made changes them
    const Dir last = std::move(open_.back());
    open_.pop_back();
    if (last.made) Copier::times(last.source, open_.back().dir.get(), base_name(last.path));
  }
  Copier& copier_;
  int source_top_;
  std::vector<Dir> open_;
};

void copy_directory(int source, UniqueFd target, const CopyOptions& options, plugin::CallContext& ctx) {
  const dag::Patterns patterns(options.include, options.exclude);
  Copier copier(options, ctx);
  Way way(copier, source, std::move(target));
  // What the patterns say of the directories on the way, by path.
  std::vector<std::pair<std::string, dag::Patterns::Covered>> covered{{"", {}}};
  walk(source, ctx, [&](const Step& s) {
    const std::string parent =
        s.path.size() == s.name.size() ? "" : s.path.substr(0, s.path.size() - s.name.size() - 1);
    while (covered.back().first != parent) covered.pop_back();
    const bool directory = S_ISDIR(s.stat.st_mode);
    dag::Patterns::Covered below;
    const auto verdict = patterns.check(s.path, directory, covered.back().second, &below);
    if (verdict == dag::Verdict::pruned) return false;
    if (directory) covered.emplace_back(s.path, std::move(below));
    if (verdict == dag::Verdict::selected) {
      if (directory) {
        way.to(s.path);
      } else {
        const int to = way.to(parent);
        copier.entry(s.dir, s.name, s.stat, to, s.name);
        copier.remember_link(to, s.name);
      }
    }
    return directory;
  });
  way.close();
}

}  // namespace

void copy(int source_root, const std::string& source, int target_root, const std::string& target,
          const CopyOptions& options, plugin::CallContext& ctx) {
  UniqueFd from;
  try {
    from = open_in_root(source_root, source, O_PATH);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) throw Error(Code::not_found, source + ": no such file or directory");
    throw;
  }
  const auto st = stat_of(from.get());
  std::optional<struct stat> there;
  try {
    there = stat_of(open_in_root(target_root, target, O_PATH).get());
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
  }
  if (S_ISDIR(st.st_mode)) {
    if (options.must_be_file) throw Error(Code::invalid_argument, "path " + source + " is a directory, not a file");
    std::string into = target;
    if (!options.contents && there && S_ISDIR(there->st_mode)) into = join_path(target, base_name(clean_path(source)));
    auto to = make_dirs_in_root(target_root, into);
    const bool fresh = !there && into == target;
    const auto readable = reopen_dir(from.get());
    Copier copier(options, ctx);
    copy_directory(from.get(), reopen_dir(to.get()), options, ctx);
    if (fresh || (options.owner.set && into != "/")) {
      const auto self = reopen_dir(to.get());
      if (fresh) copier.attributes(readable.get(), ".", st, self.get(), ".");
      if (fresh) Copier::times(st, self.get(), ".");
    }
    return;
  }
  const bool inside = (there && S_ISDIR(there->st_mode)) || target.ends_with('/');
  const std::string path = inside ? join_path(target, base_name(clean_path(source))) : clean_path(target);
  const auto to = reopen_dir(make_dirs_in_root(target_root, parent_path(path)).get());
  // The real place of the file, links resolved: its directory and name give access without following anything again.
  Copier copier(options, ctx);
  copier.file_by_fd(from.get(), st, to.get(), base_name(path));
}

}  // namespace dagger::store::tree
