#include "core/store/tree/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/path.h"

namespace dagger::store::tree {
namespace {

constexpr int max_depth = 400;  // each level holds two fds

void check(plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "copying was cancelled");
}

// The kernel copies, or shares, the blocks where both files allow it.
void copy_range(int from, int to, off_t at, off_t end, plugin::CallContext& ctx) {
  constexpr std::size_t piece = 16 << 20;
  std::vector<char> buffer;
  while (at < end) {
    check(ctx);
    const auto want = static_cast<std::size_t>(end - at);
    if (buffer.empty()) {
      off_t in = at, out = at;
      const ssize_t n = ::copy_file_range(from, &in, to, &out, std::min(want, piece), 0);
      if (n > 0) {
        at += n;
        continue;
      }
      if (n == 0) return;  // shorter than it was
      if (errno == EINTR) continue;
      if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)
        throw_errno("write");
      buffer.resize(256 << 10);
    }
    const ssize_t n = ::pread(from, buffer.data(), std::min(want, buffer.size()), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read");
    if (n == 0) return;
    for (ssize_t done = 0; done < n;) {
      const ssize_t w = ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(n - done), at + done);
      if (w < 0 && errno == EINTR) continue;
      if (w < 0) throw_errno("write");
      done += w;
    }
    at += n;
  }
}

void copy_bytes(int from, int to, std::uint64_t size, bool with_holes, plugin::CallContext& ctx) {
  const auto end = static_cast<off_t>(size);
  if (!with_holes) return copy_range(from, to, 0, end, ctx);
  if (::ftruncate(to, end) != 0) throw_errno("set the size");
  for (off_t at = 0; at < end;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;
    if (data < 0) return copy_range(from, to, at, end, ctx);
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    copy_range(from, to, data, std::min(hole, end), ctx);
    at = hole;
  }
}

class Copier {
 public:
  Copier(const CopyOptions& options, plugin::CallContext& ctx)
      : options_(options), patterns_(options.include, options.exclude), ctx_(ctx) {}

  // A directory of the copy, made when the first thing goes into it.
  struct Target {
    Target* up = nullptr;
    std::string name;
    UniqueFd dir;                       // O_PATH, once made
    const struct stat* from = nullptr;  // null: the top, which exists and keeps its attributes
    int source = -1;                    // the directory that holds what it is a copy of
    std::string source_name = {};
  };

  void entries(int source, Target& target, const std::string& path, const dag::Patterns::Covered& covered, int depth);
  void entry(int source, const std::string& name, const struct stat& st, int target, const std::string& to);
  int make(Target& target);
  void directory_attributes(Target& target);

 private:
  void attributes(int source, const std::string& name, const struct stat& st, int target, const std::string& to);
  void make_free(int target, const std::string& name);
  void file(int source, const std::string& name, const struct stat& st, int target, const std::string& to);
  void file_anew(int source, const std::string& name, const struct stat& st, int target, const std::string& to);

  const CopyOptions& options_;
  const dag::Patterns patterns_;
  plugin::CallContext& ctx_;
  struct Copied {
    UniqueFd dir;
    std::string name;
  };
  std::map<std::pair<dev_t, ino_t>, Copied> links_;  // first copies of files with several names
};

// Modes and owners first, since both take away what comes after them; times last.
void Copier::attributes(int source, const std::string& name, const struct stat& st, int target, const std::string& to) {
  const auto uid = options_.owner.set ? options_.owner.uid : st.st_uid;
  const auto gid = options_.owner.set ? options_.owner.gid : st.st_gid;
  if (::fchownat(target, to.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + to);
  const auto mode = options_.mode >= 0 ? static_cast<mode_t>(options_.mode) : st.st_mode & 07777;
  if (!S_ISLNK(st.st_mode) && ::fchmodat(target, to.c_str(), mode, 0) != 0) throw_errno("chmod " + to);
  for (const auto& [attribute, value] : read_xattrs(source, name))
    if (!is_overlay_mark(attribute)) write_xattr(target, to, attribute, value);
  const timespec times[2] = {st.st_atim, st.st_mtim};
  if (::utimensat(target, to.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + to);
}

void Copier::make_free(int target, const std::string& name) {
  const auto there = try_stat_at(target, name);
  if (!there) return;
  if (S_ISDIR(there->st_mode)) throw Error(Code::invalid_argument, "cannot replace directory " + name + " with a file");
  if (::unlinkat(target, name.c_str(), 0) != 0) throw_errno("replace " + name);
}

int Copier::make(Target& target) {
  if (target.dir) return target.dir.get();
  const int up = make(*target.up);
  const auto there = try_stat_at(up, target.name);
  if (there && !S_ISDIR(there->st_mode))
    throw Error(Code::invalid_argument, "cannot copy a directory to " + target.name + ", which is none");
  if (!there && ::mkdirat(up, target.name.c_str(), 0700) != 0) throw_errno("make directory " + target.name);
  target.dir = open_at(up, target.name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  return target.dir.get();
}

void Copier::directory_attributes(Target& target) {
  if (target.dir && target.from != nullptr)
    attributes(target.source, target.source_name, *target.from, target.up->dir.get(), target.name);
}

void Copier::entries(int source, Target& target, const std::string& path, const dag::Patterns::Covered& covered,
                     int depth) {
  if (depth > max_depth)
    throw Error(Code::invalid_argument, "a tree is deeper than " + std::to_string(max_depth) + " directories");
  for (const auto& name : sorted_names(source)) {
    check(ctx_);
    const struct stat st = stat_at(source, name);
    const std::string below = path.empty() ? name : path + "/" + name;
    dag::Patterns::Covered next;
    const auto verdict = patterns_.check(below, S_ISDIR(st.st_mode), covered, &next);
    if (verdict == dag::Verdict::pruned) continue;
    if (!S_ISDIR(st.st_mode)) {
      entry(source, name, st, make(target), name);
      continue;
    }
    Target child{&target, name, UniqueFd(), &st, source, name};
    if (verdict == dag::Verdict::selected) make(child);
    entries(open_dir_at(source, name).get(), child, below, next, depth + 1);
    directory_attributes(child);
  }
}

// Everything but directories.
void Copier::entry(int source, const std::string& name, const struct stat& st, int target, const std::string& to) {
  if (S_ISSOCK(st.st_mode) || is_whiteout(st)) return;
  if (S_ISREG(st.st_mode)) return file(source, name, st, target, to);
  make_free(target, to);
  if (S_ISLNK(st.st_mode)) {
    if (::symlinkat(read_link_at(source, name).c_str(), target, to.c_str()) != 0) throw_errno("make the link " + to);
  } else if (::mknodat(target, to.c_str(), (st.st_mode & S_IFMT) | 0600, st.st_rdev) != 0) {
    throw_errno("make the device " + to);
  }
  attributes(source, name, st, target, to);
}

void Copier::file(int source, const std::string& name, const struct stat& st, int target, const std::string& to) {
  if (st.st_nlink < 2) return file_anew(source, name, st, target, to);
  const auto key = std::make_pair(st.st_dev, st.st_ino);
  const auto first = links_.find(key);
  if (first != links_.end()) {
    make_free(target, to);
    if (::linkat(first->second.dir.get(), first->second.name.c_str(), target, to.c_str(), 0) == 0) return;
    if (errno != EMLINK && errno != EXDEV && errno != ENOENT) throw_errno("link " + to);
  }
  file_anew(source, name, st, target, to);
  constexpr std::size_t max_open = 128;  // of remembered directories; a set of names is rarely spread wider
  if (links_.size() >= max_open) links_.erase(links_.begin());
  links_.insert_or_assign(key, Copied{open_at(target, ".", O_PATH | O_DIRECTORY), to});
}

void Copier::file_anew(int source, const std::string& name, const struct stat& st, int target, const std::string& to) {
  make_free(target, to);
  const auto from = open_at(source, name, O_RDONLY | O_NOFOLLOW);
  const auto fd = open_at(target, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  try {
    copy_bytes(from.get(), fd.get(), static_cast<std::uint64_t>(st.st_size), st.st_blocks * 512 < st.st_size, ctx_);
  } catch (const Error& e) {
    throw Error(e).in("copy " + name);
  }
  attributes(source, name, st, target, to);
}

}  // namespace

void copy(int source_root, const std::string& source, int target_root, const std::string& target,
          const CopyOptions& options, plugin::CallContext& ctx) {
  const Place from = find_place(source_root, source, Last::follow);
  if (!from.st) throw_missing(source);
  const bool is_directory = S_ISDIR(from.st->st_mode);
  if (is_directory && options.must_be_file)
    throw Error(Code::invalid_argument, "path " + source + " is a directory, not a file");
  const Owner& made_by = options.owner;
  Copier copier(options, ctx);
  if (!is_directory) {
    Place to = find_place(target_root, target, Last::follow, Parents::make, made_by);
    if (to.st && S_ISDIR(to.st->st_mode)) {
      to.dir = open_at(to.dir.get(), to.name, O_PATH | O_DIRECTORY);
      to.name = from.name;
    }
    return copier.entry(from.dir.get(), from.name, *from.st, to.dir.get(), to.name);
  }
  const auto dir = open_dir_at(from.dir.get(), from.name);
  Copier::Target top;
  if (options.contents) {
    top.dir = make_directories(target_root, target, 0755, made_by);
    return copier.entries(dir.get(), top, "", {}, 0);
  }
  Place to = find_place(target_root, target, Last::follow, Parents::make, made_by);
  top.dir = std::move(to.dir);
  Copier::Target itself{&top, to.name, UniqueFd(), &*from.st, from.dir.get(), from.name};
  copier.make(itself);
  copier.entries(dir.get(), itself, "", {}, 0);
  copier.directory_attributes(itself);
}

}  // namespace dagger::store::tree
