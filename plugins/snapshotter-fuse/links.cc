#include "plugins/snapshotter-fuse/links.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "plugins/common/overlay/walk.h"
#include "plugins/common/sys/sys.h"

namespace dagger::fuse {
namespace {

bool later(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// The times of a directory, put back when what is done in it is done.
class KeptTimes {
 public:
  explicit KeptTimes(int dir) : dir_(dir) {
    if (::fstat(dir, &st_) != 0) sys::fail("look at a directory");
  }
  void put_back() const {
    const timespec times[] = {st_.st_atim, st_.st_mtim};
    if (::futimens(dir_, times) != 0) sys::fail("set the time of a directory");
  }

 private:
  int dir_;
  struct stat st_{};
};

void copy_attributes(int from, int to) {
  constexpr std::size_t most = 1 << 16;  // of the names, and of a value, in all file systems of Linux
  struct stat st{};
  if (::fstat(from, &st) != 0 || ::fchown(to, st.st_uid, st.st_gid) != 0 || ::fchmod(to, st.st_mode & 07777) != 0)
    sys::fail("copy the attributes of a directory");
  std::string names(most, '\0'), value(most, '\0');
  const ssize_t size = ::flistxattr(from, names.data(), names.size());
  for (const char* name = names.data(); size > 0 && name < names.data() + size; name += std::strlen(name) + 1) {
    if (std::strncmp(name, "trusted.overlay.", std::strlen("trusted.overlay.")) == 0) continue;
    const ssize_t length = ::fgetxattr(from, name, value.data(), value.size());
    if (length < 0 || ::fsetxattr(to, name, value.data(), static_cast<std::size_t>(length), 0) != 0)
      sys::fail(std::string("copy the attribute ") + name);
  }
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (::futimens(to, times) != 0) sys::fail("copy the times of a directory");
}

// Puts links into the upper.
class Linker {
 public:
  Linker(const std::string& upper, Merged& lowers)
      : upper_(sys::open_at(AT_FDCWD, upper, O_RDONLY | O_DIRECTORY)), lowers_(lowers) {}

  void link(const std::string& from, const std::string& to) {
    const auto slash = to.rfind('/');
    const auto name = to.substr(slash + 1);
    const auto parent = directory(to.substr(0, slash));
    const KeptTimes times(parent.get());
    if (::unlinkat(parent.get(), name.c_str(), 0) != 0 && errno != ENOENT) sys::fail("remove " + to);
    if (::linkat(upper_.get(), from.c_str() + 1, parent.get(), name.c_str(), 0) != 0) sys::fail("link " + to);
    times.put_back();
  }

 private:
  // Made as the layers have it, where the upper has none.
  UniqueFd directory(const std::string& path) {
    UniqueFd here = sys::open_at(upper_.get(), ".", O_RDONLY | O_DIRECTORY);
    for (std::size_t start = 1; start < path.size();) {
      const auto end = std::min(path.find('/', start), path.size());
      const auto name = path.substr(start, end - start);
      UniqueFd next(::openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next) next = copy(here.get(), name, path.substr(0, end));
      here = std::move(next);
      start = end + 1;
    }
    return here;
  }
  UniqueFd copy(int parent, const std::string& name, const std::string& path) {
    const auto original = lowers_.find(path);
    if (!original) throw Error(Code::internal, "directory " + path + " is in no layer");
    const auto from =
        sys::open_at(lowers_.directory(original->layer), path.substr(1), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const KeptTimes times(parent);
    if (::mkdirat(parent, name.c_str(), 0700) != 0) sys::fail("make directory " + path);
    auto made = sys::open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    copy_attributes(from.get(), made.get());
    times.put_back();
    return made;
  }

  UniqueFd upper_;
  Merged& lowers_;
};

// The copies of one layer's files, by inode of the original, with all names that it has there.
struct Group {
  const Copy* newest = nullptr;
  std::set<std::pair<std::string, ino_t>> copies;
  std::vector<std::string> names;
};
using Groups = std::map<ino_t, Group>;

class NameFinder final : public overlay::Visitor {
 public:
  NameFinder(const std::string& layer, Groups& groups) : place_(layer), groups_(groups) {}
  bool entry(int dir, const char* name, const struct stat& st) override {
    if (!S_ISREG(st.st_mode) || st.st_nlink < 2) return true;
    const auto group = groups_.find(st.st_ino);
    if (group != groups_.end()) group->second.names.push_back(place_.of(dir) + "/" + name);
    return true;
  }

 private:
  Place place_;
  Groups& groups_;
};

}  // namespace

void complete_links(const std::string& upper, Merged& lowers, const std::vector<Copy>& copies,
                    plugin::CallContext& ctx) {
  std::map<std::size_t, Groups> by_layer;
  for (const auto& copy : copies) {
    const auto original = lowers.find(copy.origin);
    if (!original) continue;
    auto& group = by_layer[original->layer][original->st.st_ino];
    if (group.newest == nullptr || later(copy.changed, group.newest->changed)) group.newest = &copy;
    group.copies.emplace(copy.path, copy.inode);
  }
  if (by_layer.empty()) return;

  std::vector<std::string> all = {upper};
  for (std::size_t i = 0; i < lowers.size(); ++i) all.push_back(lowers.path(i));
  Merged view(std::move(all));
  Linker linker(upper, lowers);
  for (auto& [layer, groups] : by_layer) {
    NameFinder finder(lowers.path(layer), groups);
    overlay::walk(lowers.path(layer), finder, ctx);
    for (const auto& [inode, group] : groups) {
      for (const auto& name : group.names) {
        const auto shown = view.find(name);
        if (!shown) continue;
        const auto now = shown->st.st_ino;
        const bool older_copy = shown->layer == 0 && now != group.newest->inode && group.copies.count({name, now}) != 0;
        const bool original = shown->layer == layer + 1 && now == inode;
        if (older_copy || original) linker.link(group.newest->path, name);
      }
    }
  }
}

}  // namespace dagger::fuse
