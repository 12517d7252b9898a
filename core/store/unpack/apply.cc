#include "core/store/unpack/apply.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"

namespace dagger::store {
namespace {

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::string_view aufs_prefix = ".wh..wh.";  // bookkeeping of AUFS: no content
constexpr std::size_t max_path = 4095;
constexpr int max_links = 40;  // as the kernel
constexpr std::uint64_t disk_block = 4096;

[[noreturn]] void refuse(const std::string& why) { throw Error(Code::corrupt_data, why); }

// "./a//b/" and "/a/b" -> "/a/b"; the root is "/". What climbs out is refused.
std::string inside(const std::string& name) {
  if (name.size() > max_path) refuse("the name is too long");
  int depth = 0;
  for (std::string_view rest = name; !rest.empty();) {
    const auto slash = rest.find('/');
    const auto part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part == "..") --depth;
    if (part != ".." && part != "." && !part.empty()) ++depth;
    if (depth < 0) refuse("points out of the layer");
  }
  return clean_path(name);
}

void write_piece(int fd, std::string_view piece, std::uint64_t offset) {
  while (!piece.empty()) {
    const ssize_t n = ::pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("write");
    piece.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void write_segments(int fd, const TarEntry& entry, TarReader& reader) {
  if (::ftruncate(fd, static_cast<off_t>(entry.size)) != 0) throw_errno("set the size");
  for (const auto& segment : entry.segments)
    for (std::uint64_t done = 0; done < segment.size;) {
      const auto piece = reader.data(static_cast<std::size_t>(segment.size - done));
      if (piece.empty()) refuse("its data is shorter than its map");
      write_piece(fd, piece, segment.offset + done);
      done += piece.size();
    }
}

mode_t type_bits(TarType type) {
  if (type == TarType::char_device) return S_IFCHR;
  return type == TarType::block_device ? S_IFBLK : S_IFIFO;
}

}  // namespace

Apply::Apply(int root, std::string mark_prefix, std::uint64_t max_entries)
    : root_(root), mark_prefix_(std::move(mark_prefix)), max_entries_(max_entries) {
  if (::fchmod(root_, 0755) != 0) throw_errno("chmod the layer's root");
  directory_times_.emplace_back("/", 0);  // a layer without an entry for its root is reproducible, too
}

void Apply::entry(const TarEntry& entry, TarReader& reader) {
  try {
    place(entry, reader);
  } catch (const Error& e) {
    // What the file system refuses because of the entry itself is the tar's fault.
    const bool own_fault =
        e.code() == Code::not_found || e.code() == Code::invalid_argument || e.code() == Code::corrupt_data;
    const std::string name = entry.name.size() > 200 ? entry.name.substr(0, 200) + "..." : entry.name;
    throw Error(own_fault ? Code::corrupt_data : e.code(), e.what()).in("entry \"" + name + "\" of the layer");
  }
}

void Apply::place(const TarEntry& entry, TarReader& reader) {
  const std::string path = inside(entry.name);
  if (path == "/") return root_attributes(entry);
  const std::string up = parent_path(path), name = base_name(path);
  // Files in AUFS's directories of its own are no content, but what hard links of the layer may lead to.
  const bool bookkeeping = path.compare(1, aufs_prefix.size(), aufs_prefix) == 0 && path.substr(1) != opaque_name;
  bookkeeping_ = bookkeeping_ || bookkeeping;
  if (!bookkeeping && up.find("/.wh.") != std::string::npos) refuse("lies in a whiteout");
  parent(up);
  if (!bookkeeping) {
    if (name == opaque_name) return opaque_parent();
    if (name.starts_with(aufs_prefix)) return;
    if (name.starts_with(whiteout_prefix)) return whiteout(name.substr(whiteout_prefix.size()));
  }
  count(disk_block);
  switch (entry.type) {
    case TarType::directory:
      return directory(path, name, entry);
    case TarType::file:
      return file(name, entry, reader);
    case TarType::hard_link:
      return hard_link(name, entry);
    case TarType::symlink:
      return symlink(name, entry);
    default:
      return node(name, entry);
  }
}

// Entries come directory by directory, so the last parent is kept open.
int Apply::parent(const std::string& path) {
  if (parent_ && parent_path_ == path) return parent_.get();
  forget_parent();
  parent_ = make_parents(path);
  parent_path_ = path;
  return parent_.get();
}

void Apply::forget_parent() {
  parent_.reset();
  parent_path_.clear();
}

// Where the open parent is, links on the way resolved.
std::string Apply::real_parent() const {
  const auto where = [](int fd) { return read_link_at(AT_FDCWD, "/proc/self/fd/" + std::to_string(fd)); };
  const std::string real = where(parent_.get()).substr(where(root_).size());
  return real.empty() ? "/" : real;
}

// Missing directories are made, also where a link leads to one.
UniqueFd Apply::make_parents(const std::string& path) {
  constexpr int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
  try {
    return open_in_root(root_, path, O_PATH | O_DIRECTORY);
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
  }
  std::string real, rest = path;
  UniqueFd dir = open_in_root(root_, "/", flags);
  for (int links = 0; !rest.empty();) {
    const auto slash = rest.find('/');
    const std::string name = rest.substr(0, slash);
    rest.erase(0, slash == std::string::npos ? slash : slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      real.resize(real.empty() ? 0 : real.rfind('/'));
      dir = open_in_root_nofollow(root_, "/" + real, flags);
      continue;
    }
    const auto st = try_stat_at(dir.get(), name);
    if (st && S_ISLNK(st->st_mode)) {
      if (++links > max_links) refuse("lies behind too many symbolic links");
      const std::string target = read_link_at(dir.get(), name);
      rest = target + "/" + rest;
      if (target.starts_with('/')) real.clear(), dir = open_in_root(root_, "/", flags);
      continue;
    }
    const bool hidden = st && is_whiteout(*st);
    if (!st || hidden)
      make_implied(dir.get(), real, name, hidden);
    else if (!S_ISDIR(st->st_mode))
      refuse("lies below " + real + "/" + name + ", which is no directory");
    real += "/" + name;
    dir = open_at(dir.get(), name, flags);
  }
  return dir;
}

// A directory that the tar has no entry for, yet.
void Apply::make_implied(int dir, const std::string& up, const std::string& name, bool whiteout) {
  const std::string path = up + "/" + name;
  if (whiteout && ::unlinkat(dir, name.c_str(), 0) != 0) throw_errno("remove the whiteout of " + path);
  if (::mkdirat(dir, name.c_str(), 0755) != 0) throw_errno("make directory " + path);
  if (whiteout) set_opaque(dir, name);
  unsettled_[path] = {.implied = !whiteout, .opaque = whiteout};
  directory_times_.emplace_back(path, 0);
  count(disk_block);
}

void Apply::count(std::uint64_t bytes) {
  if (++entries_ > max_entries_) refuse("the layer has more than " + std::to_string(max_entries_) + " entries");
  bytes_ += bytes;
}

// Takes away what an earlier entry of the same layer put there.
void Apply::make_free(const std::string& name) {
  const auto st = try_stat_at(parent_.get(), name);
  if (!st) return;
  if (!S_ISDIR(st->st_mode)) {
    if (::unlinkat(parent_.get(), name.c_str(), 0) != 0) throw_errno("replace " + name);
    return;
  }
  remove_tree_at(parent_.get(), name);
}

void Apply::whiteout(const std::string& name) {
  if (name.empty() || name == "." || name == "..") refuse("is no valid whiteout");
  const std::string up = real_parent();
  if (::mknodat(parent_.get(), name.c_str(), S_IFCHR, 0) == 0) {
    unsettled_[up].whiteouts = true;
    return count(0);
  }
  if (errno != EEXIST) throw_errno("make a whiteout");
  // The layer's own file hides the lower one already; its own directory must not show the lower one's entries.
  if (!S_ISDIR(stat_at(parent_.get(), name).st_mode)) return;
  set_opaque(parent_.get(), name);
  auto& hidden = unsettled_[join_path(up, name)];
  hidden.implied = false;
  hidden.opaque = true;
}

void Apply::opaque_parent() {
  const std::string path = real_parent();
  if (path == "/") opaque_root_ = true;
  set_opaque(parent_.get(), ".");
  unsettled_[path].opaque = true;
}

void Apply::set_opaque(int dir, const std::string& name) { write_xattr(dir, name, mark_prefix_ + "opaque", "y"); }

void Apply::root_attributes(const TarEntry& entry) {
  if (entry.type != TarType::directory) refuse("the root of a layer must be a directory");
  parent("/");
  attributes(".", entry);
  implied_root_ = false;
  directory_times_.emplace_back("/", entry.mtime_ns);
}

void Apply::directory(const std::string& path, const std::string& name, const TarEntry& entry) {
  if (::mkdirat(parent_.get(), name.c_str(), 0700) != 0) {
    if (errno != EEXIST) throw_errno("make directory");
    if (!S_ISDIR(stat_at(parent_.get(), name).st_mode)) {
      make_free(name);
      if (::mkdirat(parent_.get(), name.c_str(), 0700) != 0) throw_errno("make directory");
      set_opaque(parent_.get(), name);
    }
  }
  attributes(name, entry);
  directory_times_.emplace_back(path, entry.mtime_ns);
  if (unsettled_.empty()) return;
  const auto found = unsettled_.find(join_path(real_parent(), name));
  if (found != unsettled_.end()) found->second.implied = false;
}

void Apply::file(const std::string& name, const TarEntry& entry, TarReader& reader) {
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd fd(::openat(parent_.get(), name.c_str(), flags, 0600));
  if (!fd && errno == EEXIST) {
    make_free(name);
    fd.reset(::openat(parent_.get(), name.c_str(), flags, 0600));
  }
  if (!fd) throw_errno("create");
  if (entry.sparse) {
    write_segments(fd.get(), entry, reader);
    for (const auto& segment : entry.segments) bytes_ += segment.size;
  } else {
    for (auto piece = reader.data(); !piece.empty(); piece = reader.data()) write_all(fd.get(), piece);
    bytes_ += (entry.size + disk_block - 1) / disk_block * disk_block;
  }
  // Changing the owner takes setuid and capabilities away, so it comes first; times come last.
  if (::fchown(fd.get(), entry.uid, entry.gid) != 0) throw_errno("chown");
  if (::fchmod(fd.get(), entry.mode) != 0) throw_errno("chmod");
  for (const auto& [attribute, value] : entry.xattrs) {
    if (is_overlay_mark(attribute)) refuse("has the extended attribute " + attribute);
    write_xattr(parent_.get(), name, attribute, value);
  }
  const timespec times[2] = {to_timespec(entry.mtime_ns), to_timespec(entry.mtime_ns)};
  if (::futimens(fd.get(), times) != 0) throw_errno("set the times");
}

void Apply::hard_link(const std::string& name, const TarEntry& entry) {
  const std::string target = inside(entry.link);
  if (target == "/") refuse("is a hard link to the root");
  UniqueFd dir;
  try {
    dir = open_in_root(root_, parent_path(target), O_PATH | O_DIRECTORY);
  } catch (const Error&) {
    refuse("is a hard link to " + entry.link + ", which is not in the layer");
  }
  const auto st = try_stat_at(dir.get(), base_name(target));
  if (!st || is_whiteout(*st)) refuse("is a hard link to " + entry.link + ", which is not in the layer");
  if (S_ISDIR(st->st_mode)) refuse("is a hard link to the directory " + entry.link);
  const auto there = try_stat_at(parent_.get(), name);
  if (there && there->st_ino == st->st_ino) return;
  make_free(name);
  if (::linkat(dir.get(), base_name(target).c_str(), parent_.get(), name.c_str(), 0) != 0)
    throw_errno("link to " + entry.link);
}

void Apply::symlink(const std::string& name, const TarEntry& entry) {
  if (::symlinkat(entry.link.c_str(), parent_.get(), name.c_str()) != 0) {
    if (errno != EEXIST) throw_errno("make a link");
    make_free(name);
    if (::symlinkat(entry.link.c_str(), parent_.get(), name.c_str()) != 0) throw_errno("make a link");
  }
  attributes(name, entry);
}

void Apply::node(const std::string& name, const TarEntry& entry) {
  if (entry.type == TarType::char_device && entry.major == 0 && entry.minor == 0)
    refuse("is the device 0:0, which stands for a deleted file");
  make_free(name);
  if (::mknodat(parent_.get(), name.c_str(), type_bits(entry.type) | 0600, makedev(entry.major, entry.minor)) != 0)
    throw_errno("make a device");
  attributes(name, entry);
}

// Of everything but regular files.
void Apply::attributes(const std::string& name, const TarEntry& entry) {
  const int dir = parent_.get();
  if (::fchownat(dir, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown");
  if (entry.type != TarType::symlink && ::fchmodat(dir, name.c_str(), entry.mode, 0) != 0) throw_errno("chmod");
  for (const auto& [attribute, value] : entry.xattrs) {
    if (is_overlay_mark(attribute)) refuse("has the extended attribute " + attribute);
    write_xattr(dir, name, attribute, value);
  }
  if (entry.type == TarType::directory) return;
  const timespec times[2] = {to_timespec(entry.mtime_ns), to_timespec(entry.mtime_ns)};
  if (::utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times");
}

// AUFS's own directories were needed for hard links only.
void Apply::drop_bookkeeping() {
  const auto root = reopen_dir(root_);
  for (const auto& name : sorted_names(root.get()))
    if (name.starts_with(aufs_prefix)) remove_tree_at(root_, name);
}

// Null where a later entry replaced it.
UniqueFd Apply::find_directory(const std::string& path) const {
  try {
    return open_in_root_nofollow(root_, path, O_RDONLY | O_DIRECTORY);
  } catch (const Error& e) {
    if (e.code() != Code::not_found && e.code() != Code::invalid_argument) throw;
    return UniqueFd();
  }
}

// Nothing below shows in an opaque directory, and only where directories merge are whiteouts hidden.
void Apply::drop_whiteouts(const std::string& path) {
  const auto dir = find_directory(path);
  if (!dir) return;
  for (const auto& name : sorted_names(dir.get()))
    if (is_whiteout(stat_at(dir.get(), name)) && ::unlinkat(dir.get(), name.c_str(), 0) != 0)
      throw_errno("remove the whiteout of " + name);
}

// Says on the directories what is left to the layers below, and on the way there that there is something.
void Apply::settle() {
  std::map<std::string, Loose> marks;
  marks["/"].implied = implied_root_;
  for (const auto& [path, state] : unsettled_) {
    const bool whiteouts = state.whiteouts && !state.opaque;
    if (state.whiteouts && state.opaque) drop_whiteouts(path);
    if (!state.implied && !whiteouts) continue;
    auto& own = marks[path];
    own.implied = own.implied || state.implied;
    own.whiteouts = whiteouts;
    for (std::string up = path; up != "/";) {
      up = parent_path(up);
      auto& above = marks[up];
      const bool known = (above.implied_below || !state.implied) && (above.whiteouts_below || !whiteouts);
      if (known) break;
      above.implied_below = above.implied_below || state.implied;
      above.whiteouts_below = above.whiteouts_below || whiteouts;
    }
  }
  for (const auto& [path, loose] : marks) {
    if (!loose.any()) continue;
    if (const auto fd = find_directory(path)) write_xattr(fd.get(), ".", mark_prefix_ + loose_mark, loose.str());
  }
}

void Apply::finish(Unpacked& result) {
  forget_parent();
  if (bookkeeping_) drop_bookkeeping();
  settle();
  for (const auto& [path, mtime] : directory_times_) {
    const auto fd = find_directory(path);
    if (!fd) continue;
    const timespec times[2] = {to_timespec(mtime), to_timespec(mtime)};
    if (::futimens(fd.get(), times) != 0) throw_errno("set the times of " + path);
  }
  result.bytes = bytes_;
  result.entries = entries_;
  result.opaque_root = opaque_root_;
}

}  // namespace dagger::store
