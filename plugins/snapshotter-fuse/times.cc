#include "plugins/snapshotter-fuse/times.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "plugins/common/overlay/walk.h"
#include "plugins/common/sys/sys.h"
#include "plugins/snapshotter-fuse/merged.h"

namespace dagger::fuse {
namespace {

// Goes through the directories that the layers have too: nothing is copied into others.
class Looker final : public overlay::Visitor {
 public:
  Looker(int root, const std::string& upper) : place_(upper), root_(root) {}
  void enter(int dir) override {
    entered_ = !is_opaque(dir);
    if (!entered_) return;
    const auto path = place_.of(dir);
    const auto seen = sys::try_open_in_root(root_, path + "/", O_PATH | O_DIRECTORY);
    struct stat own{};
    struct statx shown{};
    // Only what is wanted: whoever has read the directory made the kernel forget the time of access, and it would ask
    // for all of them again.
    if (!seen || ::statx(seen.get(), "", AT_EMPTY_PATH, STATX_MTIME, &shown) != 0 || ::fstat(dir, &own) != 0)
      sys::fail("look at " + path + "/");
    if (own.st_mtim.tv_sec != shown.stx_mtime.tv_sec || own.st_mtim.tv_nsec != shown.stx_mtime.tv_nsec)
      times.push_back({path, {shown.stx_mtime.tv_sec, shown.stx_mtime.tv_nsec}});
  }
  bool entry(int, const char*, const struct stat&) override { return entered_; }

  std::vector<DirectoryTimes> times;

 private:
  Place place_;
  int root_;
  bool entered_ = false;
};

}  // namespace

std::vector<DirectoryTimes> shown_times(int root, const std::string& upper, plugin::CallContext& ctx) {
  Looker looker(root, upper);
  overlay::walk(upper, looker, ctx);
  return std::move(looker.times);
}

void set_times(const std::string& upper, const std::vector<DirectoryTimes>& all) {
  for (const auto& t : all) {
    const timespec times[] = {{0, UTIME_OMIT}, t.modified};
    if (::utimensat(AT_FDCWD, (upper + t.path).c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      sys::fail("set the time of " + t.path);
  }
}

}  // namespace dagger::fuse
