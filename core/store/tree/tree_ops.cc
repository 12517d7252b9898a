#include "core/store/tree/tree_ops.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/walk.h"

namespace dagger::store::tree {
namespace {

EntryType type_of(mode_t mode) {
  return S_ISDIR(mode)    ? EntryType::directory
         : S_ISLNK(mode)  ? EntryType::symlink
         : S_ISFIFO(mode) ? EntryType::fifo
                          : EntryType::file;
}

[[noreturn]] void missing(const std::string& path) {
  throw Error(Code::not_found, path + ": no such file or directory");
}

UniqueFd open_or_missing(int root, const std::string& path, int flags) {
  try {
    return open_in_root(root, path, flags);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) missing(path);
    throw;
  }
}

// A component longer than the file system takes is worth a message of its own.
void check_name(const std::string& path) {
  constexpr std::size_t max_name = 255;
  if (base_name(path).size() > max_name)
    throw Error(Code::invalid_argument, "File name length exceeds the maximum supported 255 characters");
}

void set_owner(int dir, const std::string& name, const Owner& owner) {
  if (owner.set && ::fchownat(dir, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw_errno("chown " + name);
}

void replace(int dir, const std::string& name, const std::string& path) {
  if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno == EISDIR || errno == EPERM)
    throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  throw_errno("replace " + path);
}

}  // namespace

std::vector<ListEntry> list(int root, const std::string& path) {
  const auto at = open_or_missing(root, path, O_PATH);
  if (!S_ISDIR(stat_of(at.get()).st_mode))
    throw Error(Code::invalid_argument, "path " + path + " is a file, not a directory");
  const auto dir = reopen_dir(at.get());
  std::vector<ListEntry> entries;
  for (auto& name : sorted_names(dir.get())) {
    const auto st = stat_at(dir.get(), name);
    entries.push_back({std::move(name), type_of(st.st_mode)});
  }
  return entries;
}

std::vector<ListEntry> glob(int root, const std::string& path, const std::string& pattern, plugin::CallContext& ctx) {
  const dag::Glob wanted(pattern);
  std::vector<ListEntry> found;
  const auto top = open_or_missing(root, path, O_PATH | O_DIRECTORY);
  walk(top.get(), ctx, [&](const Step& s) {
    if (wanted.matches(s.path)) found.push_back({s.path, type_of(s.stat.st_mode)});
    return S_ISDIR(s.stat.st_mode) && wanted.may_match_below(s.path);
  });
  std::ranges::sort(found, {}, &ListEntry::name);
  return found;
}

std::optional<StatInfo> stat(int root, const std::string& path, bool follow) {
  check_name(path);
  UniqueFd fd;
  try {
    fd = follow ? open_in_root(root, path, O_PATH) : open_in_root_nofollow(root, path, O_PATH);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) return std::nullopt;
    throw;
  }
  const auto st = stat_of(fd.get());
  return StatInfo{type_of(st.st_mode), static_cast<std::uint32_t>(st.st_mode & 07777),
                  static_cast<std::uint64_t>(st.st_size), mtime_ns(st)};
}

UniqueFd open_file(int root, const std::string& path) {
  check_name(path);
  // O_NONBLOCK: a fifo must not hold the thread.
  auto fd = open_or_missing(root, path, O_RDONLY | O_NONBLOCK);
  const auto st = stat_of(fd.get());
  if (S_ISDIR(st.st_mode)) throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  if (!S_ISREG(st.st_mode)) throw Error(Code::invalid_argument, "path " + path + " is not a regular file");
  return fd;
}

void write_file(int root, const std::string& path, std::string_view data, std::uint32_t mode, const Owner& owner) {
  check_name(path);
  const auto dir = make_dirs_in_root(root, parent_path(path));
  const std::string name = base_name(path);
  replace(dir.get(), name, path);
  const auto fd = open_at(dir.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  write_all(fd.get(), data);
  if (owner.set && ::fchown(fd.get(), owner.uid, owner.gid) != 0) throw_errno("chown " + path);
  if (::fchmod(fd.get(), mode) != 0) throw_errno("chmod " + path);
}

void make_dir(int root, const std::string& path, std::uint32_t mode, const Owner& owner) {
  check_name(path);
  if (path == "/") return;
  const auto parent = make_dirs_in_root(root, parent_path(path));
  const std::string name = base_name(path);
  if (::mkdirat(parent.get(), name.c_str(), 0700) != 0) {
    if (errno != EEXIST) throw_errno("make directory " + path);
    if (!S_ISDIR(stat_of(open_in_root(root, path, O_PATH).get()).st_mode))
      throw Error(Code::invalid_argument, "path " + path + " is a file, not a directory");
    return;
  }
  set_owner(parent.get(), name, owner);
  if (::fchmodat(parent.get(), name.c_str(), mode, 0) != 0) throw_errno("chmod " + path);
}

void make_symlink(int root, const std::string& target, const std::string& link) {
  check_name(link);
  const auto dir = make_dirs_in_root(root, parent_path(link));
  const std::string name = base_name(link);
  replace(dir.get(), name, link);
  if (::symlinkat(target.c_str(), dir.get(), name.c_str()) != 0) throw_errno("symlink " + link);
}

void remove(int root, const std::string& path, bool wildcards) {
  const std::string pattern = clean_path(path).substr(1);
  if (pattern.empty()) return;
  if (!wildcards || pattern.find_first_of("*?[\\") == std::string::npos) {
    try {
      const auto dir = open_in_root(root, parent_path("/" + pattern), O_PATH | O_DIRECTORY);
      remove_tree_at(dir.get(), base_name(pattern));
    } catch (const Error& e) {
      if (e.code() != Code::not_found) throw;
    }
    return;
  }
  // Component by component, so that no '*' crosses a '/'.
  std::vector<std::string> dirs{"/"};
  for (std::string_view rest = pattern; !rest.empty();) {
    const auto slash = rest.find('/');
    const dag::Glob glob(rest.substr(0, slash));
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    std::vector<std::string> next;
    for (const auto& dir : dirs) {
      UniqueFd readable;
      try {
        readable = reopen_dir(open_in_root(root, dir, O_PATH | O_DIRECTORY).get());
      } catch (const Error&) {  // a file in the middle of the pattern matches nothing
        continue;
      }
      for (const auto& name : sorted_names(readable.get())) {
        if (!glob.matches(name)) continue;
        if (rest.empty())
          remove_tree_at(readable.get(), name);
        else
          next.push_back(join_path(dir, name));
      }
    }
    dirs = std::move(next);
  }
}

void set_timestamps(int root, std::int64_t unix_seconds, plugin::CallContext& ctx) {
  const timespec both[2] = {{unix_seconds, 0}, {unix_seconds, 0}};
  const auto top = reopen_dir(root);
  const auto set = [&](int dir, const std::string& name) {
    if (::utimensat(dir, name.c_str(), both, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + name);
  };
  walk(top.get(), ctx, [&](const Step& s) {
    set(s.dir, s.name);
    return S_ISDIR(s.stat.st_mode);
  });
  if (::futimens(top.get(), both) != 0) throw_errno("set the times of the root directory");
}

void change_owner(int root, const std::string& path, const Owner& owner, plugin::CallContext& ctx) {
  if (!owner.set) return;
  const auto top = open_or_missing(root, path, O_PATH);
  if (::fchownat(top.get(), "", owner.uid, owner.gid, AT_EMPTY_PATH) != 0) throw_errno("chown " + path);
  if (!S_ISDIR(stat_of(top.get()).st_mode)) return;
  walk(top.get(), ctx, [&](const Step& s) {
    set_owner(s.dir, s.name, owner);
    return S_ISDIR(s.stat.st_mode);
  });
}

}  // namespace dagger::store::tree
