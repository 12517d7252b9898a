#include "plugins/common/overlay/change_set.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

struct CloseDirectory {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};

// One directory is open at a time: the way up is "..", since nobody else changes an upper that is being sealed.
class Walk {
 public:
  Walk(const std::string& directory, plugin::CallContext& ctx) : ctx_(ctx) {
    enter(sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  ChangeSet run() {
    while (!levels_.empty()) {
      auto& pending = levels_.back();
      if (pending.empty()) {
        levels_.pop_back();
        if (!levels_.empty()) handle_.reset(open(".."));
        continue;
      }
      const std::string name = std::move(pending.back());
      pending.pop_back();
      enter(sys::open_at(::dirfd(handle_.get()), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    }
    return total_;
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
    while (const dirent* e = ::readdir(handle_.get()))
      if (std::strcmp(e->d_name, ".") != 0 && std::strcmp(e->d_name, "..") != 0) count(e->d_name);
  }

  void count(const char* name) {
    struct stat st{};
    if (::fstatat(::dirfd(handle_.get()), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      sys::fail(std::string("look at ") + name);
    ++total_.entries;
    const bool again = st.st_nlink > 1 && !S_ISDIR(st.st_mode) && !linked_.insert(st.st_ino).second;
    if (!again) total_.bytes += static_cast<std::uint64_t>(st.st_blocks) * 512;
    if (S_ISDIR(st.st_mode)) levels_.back().emplace_back(name);
  }

  plugin::CallContext& ctx_;
  std::unique_ptr<DIR, CloseDirectory> handle_;
  std::vector<std::vector<std::string>> levels_;  // directories still to be entered, by level
  std::set<ino_t> linked_;
  ChangeSet total_;
};

}  // namespace

ChangeSet measure(const std::string& directory, plugin::CallContext& ctx) { return Walk(directory, ctx).run(); }

}  // namespace dagger::overlay
