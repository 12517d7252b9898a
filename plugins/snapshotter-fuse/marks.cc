#include "plugins/snapshotter-fuse/marks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <vector>

#include "plugins/common/overlay/walk.h"
#include "plugins/common/sys/sys.h"

namespace dagger::fuse {
namespace {

constexpr const char* opaque_mark = "trusted.overlay.opaque";
constexpr std::string_view prefix = ".wh.", opaque_file = ".wh..wh..opq", its_whiteout = ".wh..opq";

bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0); }

class Cleaner final : public overlay::Visitor {
 public:
  void enter(int dir) override {
    const bool inherited = !levels_.empty() && levels_.back();
    char value = 0;
    const bool own = ::fgetxattr(dir, opaque_mark, &value, 1) == 1 && value == 'y';
    if (own && inherited && ::fremovexattr(dir, opaque_mark) != 0) sys::fail("remove a mark");
    levels_.push_back(own || inherited);
    if (::fstat(dir, &before_) != 0) sys::fail("look at a directory");
    changed_ = false;
  }

  void entry(int dir, const char* name, const struct stat& st) override {
    if (std::string_view(name).substr(0, prefix.size()) == prefix && !S_ISDIR(st.st_mode)) return convert(dir, name);
    if (is_whiteout(st) && levels_.back()) return remove(dir, name);  // there is nothing below to hide
    if (!S_ISREG(st.st_mode)) return;
    const auto path = sys::fd_path(dir) + "/" + name;
    if (::lremovexattr(path.c_str(), origin_mark) != 0 && errno != ENODATA && errno != EOPNOTSUPP)
      sys::fail(std::string("remove a mark of ") + name);
  }

  void listed(int dir) override {
    const timespec times[] = {before_.st_atim, before_.st_mtim};
    if (changed_ && ::futimens(dir, times) != 0) sys::fail("set the time of a directory");
  }

  void leave() override { levels_.pop_back(); }

 private:
  void remove(int dir, const char* name) {
    if (::unlinkat(dir, name, 0) != 0) sys::fail(std::string("remove ") + name);
    changed_ = true;
  }

  // A name with the prefix of whiteouts: none is a file of its own, since the view would not show it.
  void convert(int dir, const char* name) {
    remove(dir, name);
    if (name == its_whiteout) return;
    if (name == opaque_file) {
      if (!levels_.back() && ::fsetxattr(dir, opaque_mark, "y", 1, 0) != 0) sys::fail("mark a directory as opaque");
      levels_.back() = true;
      return;
    }
    const auto hidden = name + prefix.size();
    if (!levels_.back() && ::mknodat(dir, hidden, S_IFCHR, makedev(0, 0)) != 0 && errno != EEXIST)
      sys::fail(std::string("make a whiteout of ") + hidden);
  }

  std::vector<bool> levels_;  // whether what is below is hidden there, by level
  struct stat before_{};      // of the directory that is being read
  bool changed_ = false;
};

}  // namespace

void clean_marks(const std::string& upper, plugin::CallContext& ctx) {
  Cleaner cleaner;
  overlay::walk(upper, cleaner, ctx);
}

}  // namespace dagger::fuse
