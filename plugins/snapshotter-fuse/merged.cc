#include "plugins/snapshotter-fuse/merged.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "plugins/common/sys/sys.h"

namespace dagger::fuse {
namespace {

std::string path_of(int fd) {
  std::array<char, PATH_MAX> link{};
  const ssize_t size = ::readlink(sys::fd_path(fd).c_str(), link.data(), link.size());
  if (size <= 0 || size == PATH_MAX) sys::fail("find a directory");
  return {link.data(), static_cast<std::size_t>(size)};
}

// Whether dir has the object; throws for any other failure.
bool look(int dir, const std::string& path, struct stat& st) {
  if (::fstatat(dir, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) sys::fail("look at " + path);
  return false;
}

enum class Answer { shown, hidden, absent };

// What one layer has to say about a path ("a/b"), and to those below it.
Answer ask(int layer, const std::string& path, struct stat& st) {
  std::vector<std::string> directories;
  for (std::size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const auto part = path.substr(0, end);
    if (!look(layer, part, st)) break;
    if (is_whiteout(st)) return Answer::hidden;
    if (end == path.size()) return Answer::shown;
    if (!S_ISDIR(st.st_mode)) return Answer::hidden;
    directories.push_back(part);
  }
  const bool opaque = std::any_of(directories.begin(), directories.end(), [&](const auto& d) {
    return is_opaque(sys::open_at(layer, d, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).get());
  });
  return opaque ? Answer::hidden : Answer::absent;
}

}  // namespace

bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

bool is_opaque(int directory) {
  char value = 0;
  return ::fgetxattr(directory, opaque_mark, &value, 1) == 1 && value == 'y';
}

bool Merged::any_has(const std::string& path) {
  if (directories_.empty())
    for (const auto& p : paths_) directories_.push_back(sys::open_at(AT_FDCWD, p, O_PATH | O_DIRECTORY));
  struct stat st{};
  return std::any_of(directories_.begin(), directories_.end(), [&](const auto& d) { return look(d.get(), path, st); });
}

std::optional<Merged::Shown> Merged::find(const std::string& path) {
  const auto inside = path.substr(std::min(path.find_first_not_of('/'), path.size()));
  if (!any_has(inside.empty() ? "." : inside)) return std::nullopt;
  Shown shown;
  if (inside.empty() && look(directories_.front().get(), ".", shown.st)) return shown;
  for (; shown.layer < directories_.size(); ++shown.layer) {
    const auto answer = ask(directories_[shown.layer].get(), inside, shown.st);
    if (answer == Answer::shown) return shown;
    if (answer == Answer::hidden) break;
  }
  return std::nullopt;
}

Place::Place(const std::string& top) : top_(path_of(sys::open_at(AT_FDCWD, top, O_PATH | O_DIRECTORY).get()).size()) {}

std::string Place::of(int dir) const { return path_of(dir).substr(top_); }

}  // namespace dagger::fuse
