#include "core/store/tree/path.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"

namespace dagger::store::tree {
namespace {

constexpr int max_links = 40;  // as the kernel

struct Split {
  std::string up, name;  // name is "." for a directory that has no name of its own
};

// Pure text, but ".." is left to the kernel, since what is before it may be a link.
Split split_last(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const auto slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return {std::move(path), "."};
  return {slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash), std::move(name)};
}

// The owner that is not set is 0:0.
void make_one(int parent, const std::string& name, unsigned mode, const Owner& owner) {
  if (::mkdirat(parent, name.c_str(), 0700) != 0) {
    if (errno == EEXIST) return;
    throw_errno("make directory " + name);
  }
  if (::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + name);
  if (::fchmodat(parent, name.c_str(), mode, 0) != 0) throw_errno("chmod " + name);
}

}  // namespace

void throw_missing(const std::string& path) { throw Error(Code::not_found, path + ": no such file or directory"); }

UniqueFd make_directories(int root, const std::string& path, unsigned mode, const Owner& owner) {
  constexpr int flags = O_PATH | O_DIRECTORY;
  try {
    return open_in_root(root, path, flags);
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
  }
  UniqueFd dir = open_in_root(root, "/", flags);
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string so_far = path.substr(0, end);
    const auto [up, name] = split_last(so_far);
    if (name != ".") make_one(dir.get(), name, mode, owner);
    dir = open_in_root(root, so_far, flags);
    if (end == std::string::npos) return dir;
  }
}

Place find_place(int root, const std::string& path, Last last, Parents parents, const Owner& made_by) {
  std::string rest = path.empty() ? "/" : path;
  for (int links = 0; links < max_links; ++links) {
    auto [up, name] = split_last(rest);
    Place place;
    try {
      place.dir = parents == Parents::make ? make_directories(root, up, 0755, made_by)
                                           : open_in_root(root, up, O_PATH | O_DIRECTORY);
    } catch (const Error& e) {
      if (e.code() == Code::not_found) throw_missing(path);
      throw;
    }
    place.st = try_stat_at(place.dir.get(), name);
    place.name = std::move(name);
    if (last == Last::keep || !place.st || !S_ISLNK(place.st->st_mode)) return place;
    const std::string link = read_link_at(place.dir.get(), place.name);
    rest = link.starts_with('/') ? link : up + "/" + link;
  }
  throw Error(Code::invalid_argument, path + ": too many levels of symbolic links");
}

}  // namespace dagger::store::tree
