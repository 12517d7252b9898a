#include "core/store/tree/ops.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/path.h"

namespace dagger::store::tree {
namespace {

constexpr int max_depth = 800;  // each level holds an fd
constexpr std::size_t max_matches = 1'000'000;

// Calls f(dir, name, stat, path relative to the top) for all below dir, what is in a directory before the directory
// itself if children_first. into(path) says whether to enter.
class Walk {
 public:
  explicit Walk(plugin::CallContext& ctx) : ctx_(ctx) {}
  template <class F, class Into>
  void all(int dir, const std::string& path, F& f, Into& into, int depth = 0) {
    if (depth > max_depth)
      throw Error(Code::invalid_argument, "a tree is deeper than " + std::to_string(max_depth) + " directories");
    for (const auto& name : sorted_names(dir)) {
      if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled");
      const struct stat st = stat_at(dir, name);
      const std::string below = path.empty() ? name : path + "/" + name;
      if (S_ISDIR(st.st_mode) && into(below)) all(open_dir_at(dir, name).get(), below, f, into, depth + 1);
      f(dir, name, st, below);
    }
  }

 private:
  plugin::CallContext& ctx_;
};

constexpr auto everywhere = [](const std::string&) { return true; };

Place existing(int root, const std::string& path, Want want) {
  Place place = find_place(root, path, Last::follow);
  if (!place.st) throw_missing(path);
  const bool directory = S_ISDIR(place.st->st_mode);
  if (want == Want::file && directory)
    throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  if (want == Want::directory && !directory)
    throw Error(Code::invalid_argument, "path " + path + " is a file, not a directory");
  return place;
}

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> out;
  const std::string clean = clean_path(path);
  for (std::size_t at = 1; at < clean.size();) {
    const auto slash = std::min(clean.find('/', at), clean.size());
    out.push_back(clean.substr(at, slash - at));
    at = slash + 1;
  }
  return out;
}

bool has_wildcard(const std::string& name) { return name.find_first_of("*?[\\") != std::string::npos; }

// Removes what the components from at on match below the directory that prefix names. As deep as the path is long.
void remove_matching(int root, const std::string& prefix, const std::vector<std::string>& parts, std::size_t at) {
  UniqueFd dir;
  try {
    dir = open_in_root(root, prefix, O_RDONLY | O_DIRECTORY);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) return;
    throw;
  }
  const bool last = at + 1 == parts.size();
  std::vector<std::string> names = {parts[at]};
  if (has_wildcard(parts[at])) {
    const dag::Glob glob(parts[at]);
    names = sorted_names(dir.get());
    // A wildcard does not lead through links: cycles of them would match without end.
    const auto skip = [&](const std::string& n) {
      return !glob.matches(n) || (!last && !S_ISDIR(stat_at(dir.get(), n).st_mode));
    };
    std::erase_if(names, skip);
  }
  if (last) {
    for (const auto& name : names) remove_tree_at(dir.get(), name);
    return;
  }
  dir.reset();
  for (const auto& name : names) remove_matching(root, prefix + "/" + name, parts, at + 1);
}

}  // namespace

struct stat stat(int root, const std::string& path, Want want) { return *existing(root, path, want).st; }

std::vector<std::string> entries(int root, const std::string& path) {
  const Place place = existing(root, path, Want::directory);
  return sorted_names(open_dir_at(place.dir.get(), place.name).get());
}

UniqueFd open_file(int root, const std::string& path) {
  const Place place = existing(root, path, Want::file);
  if (!S_ISREG(place.st->st_mode)) throw Error(Code::invalid_argument, "path " + path + " is not a regular file");
  return open_at(place.dir.get(), place.name, O_RDONLY | O_NOFOLLOW);
}

std::string read_file(int root, const std::string& path, std::uint64_t offset, std::size_t limit) {
  const auto fd = open_file(root, path);
  const auto size = static_cast<std::uint64_t>(stat_of(fd.get()).st_size);
  std::string out(static_cast<std::size_t>(std::min<std::uint64_t>(limit, size - std::min(size, offset))), '\0');
  std::size_t got = 0;
  while (got < out.size()) {
    const ssize_t n = ::pread(fd.get(), out.data() + got, out.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read " + path);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  out.resize(got);
  return out;
}

std::vector<std::string> glob(int root, const std::string& pattern, plugin::CallContext& ctx) {
  const dag::Glob glob(pattern);
  std::vector<std::string> out;
  auto take = [&](int, const std::string&, const struct stat&, const std::string& path) {
    if (!glob.matches(path)) return;
    if (out.size() >= max_matches)
      throw Error(Code::no_space,
                  "pattern " + pattern + " matches more than " + std::to_string(max_matches) + " paths");
    out.push_back(path);
  };
  auto into = [&](const std::string& path) { return glob.may_match_below(path); };
  Walk(ctx).all(open_in_root(root, "/", O_RDONLY | O_DIRECTORY).get(), "", take, into);
  std::sort(out.begin(), out.end());
  return out;
}

void write_file(int root, const std::string& path, std::string_view data, unsigned mode, Owner owner) {
  const Place place = find_place(root, path, Last::follow, Parents::make, owner);
  if (place.st && S_ISDIR(place.st->st_mode))
    throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  const bool reuse = place.st && S_ISREG(place.st->st_mode);
  if (place.st && !reuse && ::unlinkat(place.dir.get(), place.name.c_str(), 0) != 0) throw_errno("replace " + path);
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

void make_dirs(int root, const std::string& path, unsigned mode, Owner owner) {
  try {
    make_directories(root, path, mode & 07777, owner);
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
    throw Error(Code::invalid_argument, "path " + path + " is a file, not a directory");
  }
}

void remove(int root, const std::string& path, bool wildcards) {
  const auto parts = components(path);
  if (parts.empty()) throw Error(Code::invalid_argument, "the root directory cannot be removed");
  if (wildcards) return remove_matching(root, "/", parts, 0);
  Place place;
  try {
    place = find_place(root, clean_path(path), Last::keep);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) return;
    throw;
  }
  remove_tree_at(place.dir.get(), place.name);
}

void symlink(int root, const std::string& target, const std::string& link, Owner owner) {
  const Place place = find_place(root, link, Last::keep, Parents::make, owner);
  if (place.st && S_ISDIR(place.st->st_mode))
    throw Error(Code::invalid_argument, "path " + link + " is a directory, not a file");
  if (place.st && ::unlinkat(place.dir.get(), place.name.c_str(), 0) != 0) throw_errno("replace " + link);
  if (::symlinkat(target.c_str(), place.dir.get(), place.name.c_str()) != 0) throw_errno("make the link " + link);
  if (::fchownat(place.dir.get(), place.name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw_errno("chown " + link);
}

void set_timestamps(int root, std::int64_t unix_seconds, plugin::CallContext& ctx) {
  const timespec time{static_cast<time_t>(unix_seconds), 0};
  const timespec times[2] = {time, time};
  const auto top = open_in_root(root, "/", O_RDONLY | O_DIRECTORY);
  auto touch = [&](int dir, const std::string& name, const struct stat&, const std::string& path) {
    if (::utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + path);
  };
  Walk(ctx).all(top.get(), "", touch, everywhere);
  if (::futimens(top.get(), times) != 0) throw_errno("set the times of the root directory");
}

void chown(int root, const std::string& path, Owner owner, plugin::CallContext& ctx) {
  const Place place = find_place(root, path, Last::keep);
  if (!place.st) throw_missing(path);
  auto own = [&](int dir, const std::string& name, const struct stat& st, const std::string& where) {
    if (::fchownat(dir, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + where);
    // The kernel clears setuid and setgid of what changes hands; as with a copy, modes stay.
    if (S_ISREG(st.st_mode) && (st.st_mode & 06000) != 0 && ::fchmodat(dir, name.c_str(), st.st_mode & 07777, 0) != 0)
      throw_errno("chmod " + where);
  };
  if (S_ISDIR(place.st->st_mode)) Walk(ctx).all(open_dir_at(place.dir.get(), place.name).get(), "", own, everywhere);
  own(place.dir.get(), place.name, *place.st, path);
}

}  // namespace dagger::store::tree
