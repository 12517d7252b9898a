#include "plugins/snapshotter-fuse/links.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <optional>
#include <utility>

#include "plugins/common/overlay/walk.h"
#include "plugins/common/sys/sys.h"
#include "plugins/snapshotter-fuse/marks.h"

namespace dagger::fuse {
namespace {

// Where the directory dir of the tree at top is: "" or "/a/b".
class Place {
 public:
  explicit Place(const std::string& top)
      : top_(path_of(sys::open_at(AT_FDCWD, top, O_PATH | O_DIRECTORY).get()).size()) {}
  std::string of(int dir, const char* name) const { return path_of(dir).substr(top_) + "/" + name; }

 private:
  static std::string path_of(int fd) {
    std::array<char, PATH_MAX> link{};
    const ssize_t size = ::readlink(sys::fd_path(fd).c_str(), link.data(), link.size());
    if (size <= 0 || size == PATH_MAX) sys::fail("find a directory");
    return {link.data(), static_cast<std::size_t>(size)};
  }
  std::size_t top_;
};

bool later(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// Empty where the tree at root has no such object, or a link on the way to it.
std::optional<struct stat> look_at(int root, const std::string& path) {
  const auto fd = sys::try_open_in_root(root, path, O_PATH | O_NOFOLLOW);
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0) return std::nullopt;
  return st;
}

struct Copy {
  std::string path;  // in the upper
  ino_t upper = 0;
  timespec changed{};
};
using Copies = std::map<ino_t, Copy>;  // by the inode of the layer that they are copies of; the newest of each

// Finds the copies in the upper of files that have several names in their layer.
class Finder final : public overlay::Visitor {
 public:
  Finder(const std::string& upper, const std::vector<std::string>& lowers)
      : copies(lowers.size()), place_(upper), paths_(lowers) {}
  void entry(int dir, const char* name, const struct stat& st) override {
    if (!S_ISREG(st.st_mode)) return;
    std::array<char, PATH_MAX> origin{};
    const auto file = sys::fd_path(dir) + "/" + name;
    if (::lgetxattr(file.c_str(), origin_mark, origin.data(), origin.size() - 1) <= 0) return;
    if (lowers_.empty())
      for (const auto& path : paths_) lowers_.push_back(sys::open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY));
    for (std::size_t i = 0; i < lowers_.size(); ++i) {
      const auto original = look_at(lowers_[i].get(), origin.data());
      if (!original) continue;
      if (!S_ISREG(original->st_mode) || original->st_nlink < 2) return;
      auto& copy = copies[i][original->st_ino];
      if (copy.path.empty() || later(st.st_ctim, copy.changed)) copy = {place_.of(dir, name), st.st_ino, st.st_ctim};
      return;
    }
  }
  std::vector<Copies> copies;  // by layer

 private:
  Place place_;
  const std::vector<std::string>& paths_;
  std::vector<UniqueFd> lowers_;  // opened for the first copy
};

// Looks for the further names in one layer, and gives them to the copies.
class Linker final : public overlay::Visitor {
 public:
  Linker(int root, const std::string& upper, const std::string& lower, const Copies& copies)
      : root_(root), upper_(sys::open_at(AT_FDCWD, upper, O_PATH | O_DIRECTORY)), place_(lower), copies_(copies) {}
  void entry(int dir, const char* name, const struct stat& st) override {
    if (!S_ISREG(st.st_mode) || st.st_nlink < 2) return;
    const auto copy = copies_.find(st.st_ino);
    if (copy != copies_.end()) link(copy->second, place_.of(dir, name), st.st_ino);
  }

 private:
  void link(const Copy& copy, const std::string& path, ino_t shown) {
    const auto here = look_at(upper_.get(), path);
    if (here && here->st_ino == copy.upper) return;
    const auto seen = look_at(root_, path);
    if (!seen || seen->st_ino != shown) return;  // removed, or another file by now
    const auto slash = path.rfind('/');
    const auto name = path.substr(slash + 1);
    const auto parent = sys::open_in_root(root_, path.substr(0, slash + 1), O_RDONLY | O_DIRECTORY);
    struct stat before{};
    if (::fstat(parent.get(), &before) != 0 || ::unlinkat(parent.get(), name.c_str(), 0) != 0 ||
        ::linkat(root_, copy.path.c_str() + 1, parent.get(), name.c_str(), 0) != 0)
      sys::fail("link " + path + " to " + copy.path);
    const timespec times[] = {before.st_atim, before.st_mtim};
    if (::futimens(parent.get(), times) != 0) sys::fail("set the time of the directory of " + path);
  }

  int root_;
  UniqueFd upper_;
  Place place_;
  const Copies& copies_;
};

}  // namespace

void complete_links(int root, const std::string& upper, const std::vector<std::string>& lowers,
                    plugin::CallContext& ctx) {
  Finder finder(upper, lowers);
  overlay::walk(upper, finder, ctx);
  for (std::size_t i = 0; i < lowers.size(); ++i) {
    if (finder.copies[i].empty()) continue;
    Linker linker(root, upper, lowers[i], finder.copies[i]);
    overlay::walk(lowers[i], linker, ctx);
  }
}

}  // namespace dagger::fuse
