#include "core/store/tree/tree_ops.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/path.h"
#include "core/store/tree/walk.h"

namespace dagger::store::tree {
namespace {

EntryType type_of(mode_t mode) {
  return S_ISDIR(mode)    ? EntryType::directory
         : S_ISLNK(mode)  ? EntryType::symlink
         : S_ISFIFO(mode) ? EntryType::fifo
                          : EntryType::file;
}

UniqueFd open_or_missing(int root, const std::string& path, int flags) {
  try {
    return open_in_root(root, path, flags);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) throw_missing(path);
    throw;
  }
}

// A component longer than the file system takes is worth a message of its own.
void check_name(const std::string& path) {
  constexpr std::size_t max_name = 255;
  if (base_name(path).size() > max_name)
    throw Error(Code::invalid_argument, "File name length exceeds the maximum supported 255 characters");
}

// Where a new file or link goes: what is there and is no directory makes room, unless it is to be kept.
Place place_for(int root, const std::string& path, Last last) {
  check_name(path);
  Place place = find_place(root, path, last, Parents::make);
  if (place.st && S_ISDIR(place.st->st_mode))
    throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  return place;
}

void make_room(const Place& place, const std::string& path) {
  if (::unlinkat(place.dir.get(), place.name.c_str(), 0) != 0 && errno != ENOENT) throw_errno("replace " + path);
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
  const Place place = place_for(root, path, Last::follow);
  const bool reuse = place.st && S_ISREG(place.st->st_mode);
  if (!reuse) make_room(place, path);  // never write to a device
  try {
    const auto fd =
        open_at(place.dir.get(), place.name, O_WRONLY | O_NOFOLLOW | (reuse ? O_TRUNC : O_CREAT | O_EXCL), 0600);
    write_all(fd.get(), data);
    if (::fchown(fd.get(), owner.uid, owner.gid) != 0) throw_errno("chown");
    if (::fchmod(fd.get(), mode & 07777) != 0) throw_errno("chmod");
  } catch (const Error& e) {
    throw Error(e).in("write " + path);
  }
}

void make_dir(int root, const std::string& path, std::uint32_t mode, const Owner& owner) {
  check_name(path);
  try {
    make_directories(root, path, mode & 07777, owner);
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
    throw Error(Code::invalid_argument, "path " + path + " is a file, not a directory");
  }
}

void make_symlink(int root, const std::string& target, const std::string& link) {
  const Place place = place_for(root, link, Last::keep);
  make_room(place, link);
  if (::symlinkat(target.c_str(), place.dir.get(), place.name.c_str()) != 0) throw_errno("symlink " + link);
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
    const std::string part(rest.substr(0, slash));
    const bool plain = part.find_first_of("*?[\\") == std::string::npos;
    const dag::Glob glob(part);
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
        else if (plain || S_ISDIR(stat_at(readable.get(), name).st_mode))  // cycles of links match without end
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
  const Place top = find_place(root, path, Last::follow);
  if (!top.st) throw_missing(path);
  // The kernel takes setuid and setgid away from what changes hands; modes stay, as with a copy.
  const auto own = [&owner](int dir, const std::string& name, const struct stat& st) {
    if (::fchownat(dir, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + name);
    if (S_ISREG(st.st_mode) && (st.st_mode & 06000) != 0 && ::fchmodat(dir, name.c_str(), st.st_mode & 07777, 0) != 0)
      throw_errno("chmod " + name);
  };
  own(top.dir.get(), top.name, *top.st);
  if (!S_ISDIR(top.st->st_mode)) return;
  walk(open_dir_at(top.dir.get(), top.name).get(), ctx, [&](const Step& s) {
    own(s.dir, s.name, s.stat);
    return S_ISDIR(s.stat.st_mode);
  });
}

}  // namespace dagger::store::tree
