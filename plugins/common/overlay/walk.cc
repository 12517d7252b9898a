#include "plugins/common/overlay/walk.h"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

struct CloseDirectory {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};

// The way up is "..", since nobody else changes the tree.
class Walk {
 public:
  Walk(const std::string& directory, Visitor& visitor, plugin::CallContext& ctx) : visitor_(visitor), ctx_(ctx) {
    enter(sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  void run() {
    while (!levels_.empty()) {
      auto& pending = levels_.back();
      if (pending.empty()) {
        visitor_.leave();
        levels_.pop_back();
        if (!levels_.empty()) handle_.reset(open(".."));
        continue;
      }
      const std::string name = std::move(pending.back());
      pending.pop_back();
      // One that the visitor has removed meanwhile is not there to enter.
      UniqueFd fd(::openat(::dirfd(handle_.get()), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (fd)
        enter(std::move(fd));
      else if (errno != ENOENT)
        sys::fail("open " + name);
    }
  }

 private:
  static DIR* from(UniqueFd fd) {
    DIR* d = ::fdopendir(fd.get());
    if (d == nullptr) sys::fail("read a directory");
    fd.release();
    return d;
  }
  DIR* open(const char* name) { return from(sys::open_at(::dirfd(handle_.get()), name, O_RDONLY | O_DIRECTORY)); }

  void enter(UniqueFd fd) {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "no one waits for the layer any more");
    handle_.reset(from(std::move(fd)));
    levels_.emplace_back();
    const int dir = ::dirfd(handle_.get());
    visitor_.enter(dir);
    while (const dirent* e = ::readdir(handle_.get())) {
      if (std::strcmp(e->d_name, ".") == 0 || std::strcmp(e->d_name, "..") == 0) continue;
      struct stat st{};
      if (::fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) sys::fail(std::string("look at ") + e->d_name);
      if (visitor_.entry(dir, e->d_name, st) && S_ISDIR(st.st_mode)) levels_.back().emplace_back(e->d_name);
    }
    visitor_.listed(dir);
  }

  Visitor& visitor_;
  plugin::CallContext& ctx_;
  std::unique_ptr<DIR, CloseDirectory> handle_;
  std::vector<std::vector<std::string>> levels_;  // directories still to be entered, by level
};

}  // namespace

void walk(const std::string& directory, Visitor& visitor, plugin::CallContext& ctx) {
  Walk(directory, visitor, ctx).run();
}

}  // namespace dagger::overlay
