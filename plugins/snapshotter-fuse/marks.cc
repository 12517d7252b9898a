#include "plugins/snapshotter-fuse/marks.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string_view>

#include "plugins/common/overlay/walk.h"
#include "plugins/common/sys/sys.h"

namespace dagger::fuse {
namespace {

constexpr const char* origin_mark = "user.fuseoverlayfs.origin";
constexpr std::string_view prefix = ".wh.", opaque_file = ".wh..wh..opq", its_whiteout = ".wh..opq";

bool same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

class Cleaner final : public overlay::Visitor {
 public:
  Cleaner(const std::string& upper, Merged& lowers) : place_(upper), lowers_(lowers) {}

  void enter(int dir) override {
    if (::fstat(dir, &before_) != 0) sys::fail("look at a directory");
    changed_ = false;
    only_copies_ = true;
    const bool above = !alone_.empty() && alone_.back(), marked = is_opaque(dir);
    if (marked && (above || !lowers_.find(place_.of(dir))) && ::fremovexattr(dir, opaque_mark) != 0)
      sys::fail("remove a mark");
    alone_.push_back(above || marked);
  }

  bool entry(int dir, const char* name, const struct stat& st) override {
    if (S_ISDIR(st.st_mode)) {
      only_copies_ = only_copies_ && (alone_.back() || lowers_.find(path(dir, name)));
      return true;
    }
    if (std::string_view(name).substr(0, prefix.size()) == prefix) {
      convert(dir, name);
    } else if (is_whiteout(st)) {
      only_copies_ = false;
      if (!hides(dir, name)) remove(dir, name);
    } else {
      only_copies_ = S_ISREG(st.st_mode) && clean_file(dir, name, st) && only_copies_;
    }
    return true;
  }

  void listed(int dir) override {
    timespec times[] = {before_.st_atim, before_.st_mtim};
    if (!alone_.back() && only_copies_ && same(before_.st_mtim, before_.st_ctim)) {
      // Its time is that of the last copy: otherwise nothing has changed in it.
      if (const auto original = lowers_.find(place_.of(dir))) times[1] = original->st.st_mtim, changed_ = true;
    }
    if (changed_ && ::futimens(dir, times) != 0) sys::fail("set the time of a directory");
  }

  void leave() override { alone_.pop_back(); }

  std::vector<Copy> copies;

 private:
  std::string path(int dir, const char* name) const { return place_.of(dir) + "/" + name; }
  bool hides(int dir, const char* name) { return !alone_.back() && lowers_.find(path(dir, name)); }

  void remove(int dir, const char* name) {
    if (::unlinkat(dir, name, 0) != 0) sys::fail(std::string("remove ") + name);
    changed_ = true;
  }

  // Whether it is a copy of the file that the layers have there.
  bool clean_file(int dir, const char* name, const struct stat& st) {
    std::array<char, PATH_MAX> origin{};
    const auto file = sys::fd_path(dir) + "/" + name;
    if (::lgetxattr(file.c_str(), origin_mark, origin.data(), origin.size() - 1) <= 0) return false;
    if (::lremovexattr(file.c_str(), origin_mark) != 0) sys::fail(std::string("remove a mark of ") + name);
    Copy copy{path(dir, name), std::string("/") + origin.data(), st.st_ino, st.st_ctim};
    const auto original = lowers_.find(copy.origin);
    if (original && !S_ISREG(original->st.st_mode) && st.st_size == 0) restore_node(dir, name, st, original->st);
    if (original && S_ISREG(original->st.st_mode) && original->st.st_nlink > 1) copies.push_back(copy);
    return copy.path == copy.origin;
  }

  // A device, pipe or socket is copied as an empty file.
  void restore_node(int dir, const char* name, const struct stat& copy, const struct stat& original) {
    remove(dir, name);
    const timespec times[] = {copy.st_atim, copy.st_mtim};
    const mode_t mode = (original.st_mode & S_IFMT) | (copy.st_mode & 07777);
    if (::mknodat(dir, name, mode, original.st_rdev) != 0 ||
        ::fchownat(dir, name, copy.st_uid, copy.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::fchmodat(dir, name, copy.st_mode & 07777, 0) != 0 || ::utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0)
      sys::fail(std::string("make ") + name + " again");
  }

  // A name with the prefix of whiteouts: none is a file of its own, since the view would not show it.
  void convert(int dir, const char* name) {
    remove(dir, name);
    only_copies_ = false;
    if (name == its_whiteout) return;
    if (name == opaque_file) {
      if (!alone_.back() && lowers_.find(place_.of(dir)) && ::fsetxattr(dir, opaque_mark, "y", 1, 0) != 0)
        sys::fail("mark a directory as opaque");
      alone_.back() = true;
      return;
    }
    const auto hidden = name + prefix.size();
    if (hides(dir, hidden) && ::mknodat(dir, hidden, S_IFCHR, makedev(0, 0)) != 0 && errno != EEXIST)
      sys::fail(std::string("make a whiteout of ") + hidden);
  }

  Place place_;
  Merged& lowers_;
  std::vector<bool> alone_;  // whether nothing of the lowers shows there, by level
  struct stat before_{};     // of the directory that is being read
  bool changed_ = false, only_copies_ = true;
};

}  // namespace

std::vector<Copy> clean_marks(const std::string& upper, Merged& lowers, plugin::CallContext& ctx) {
  Cleaner cleaner(upper, lowers);
  overlay::walk(upper, cleaner, ctx);
  return std::move(cleaner.copies);
}

}  // namespace dagger::fuse
