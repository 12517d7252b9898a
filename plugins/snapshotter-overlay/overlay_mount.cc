#include "plugins/snapshotter-overlay/overlay_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <exception>
#include <thread>

#include "plugins/common/overlay/fs_context.h"
#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

// No feature that leaves more in the upper than changes: sealed, it becomes a layer of other stacks. volatile: the
// store decides what is durable, so a sync inside a container costs nothing.
constexpr const char* fixed_options[][2] = {{"index", "off"}, {"metacopy", "off"}, {"redirect_dir", "off"}};

UniqueFd mount_new(const MountRequest& r) {
  FsContext fs("overlay");
  for (const auto& lower : r.lowers) fs.set_path("lowerdir+", lower);
  for (const auto& [key, value] : fixed_options) fs.set(key, value);
  if (r.upper.empty()) return fs.mount(MOUNT_ATTR_RDONLY);
  fs.set_path("upperdir", r.upper);
  fs.set_path("workdir", r.work);
  fs.set("volatile");
  return fs.mount(0);
}

void link_to(const std::string& target, const std::string& name) {
  if (::symlink(target.c_str(), name.c_str()) != 0) sys::fail("link " + name);
}

// Runs in a thread that nobody else shares a mount namespace or a working directory with.
UniqueFd mount_in_own_namespace(const MountRequest& r, const std::string& scratch) {
  if (::unshare(CLONE_NEWNS) != 0) sys::fail("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) sys::fail("make mounts private");
  if (::mount("tmpfs", scratch.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") != 0)
    sys::fail("mount on " + scratch);
  if (::chdir(scratch.c_str()) != 0) sys::fail("enter " + scratch);
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < r.lowers.size(); ++i) {
    const std::string name = std::to_string(i);
    link_to(r.lowers[i], name);
    options += (i > 0 ? ":" : "") + name;
  }
  for (const auto& [key, value] : fixed_options) options += std::string(",") + key + "=" + value;
  if (!r.upper.empty()) {
    link_to(r.upper, "u");
    link_to(r.work, "w");
    options += ",upperdir=u,workdir=w,volatile";
  }
  if (::mkdir("mnt", 0700) != 0) sys::fail("make a mount point");
  const unsigned long flags = r.upper.empty() ? MS_RDONLY : 0;
  if (::mount("overlay", "mnt", "overlay", flags, options.c_str()) != 0)
    sys::fail("mount an overlay of " + std::to_string(r.lowers.size()) + " layers");
  auto fd = sys::clone_tree(sys::open_at(AT_FDCWD, "mnt", O_PATH | O_DIRECTORY).get());
  if (!fd) sys::fail("detach the overlay mount");
  return fd;
}

UniqueFd mount_classic(const MountRequest& r, const std::string& scratch) {
  UniqueFd result;
  std::exception_ptr error;
  std::thread([&] {
    try {
      result = mount_in_own_namespace(r, scratch);
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
  return result;
}

}  // namespace

Way probe(const std::string& probe_dir) {
  try {
    return FsContext("overlay").takes("lowerdir+", probe_dir.c_str()) ? Way::new_api : Way::classic;
  } catch (const Error& e) {
    if (e.code() == Code::permission_denied)
      throw Error(Code::permission_denied,
                  "overlay mounts need root: start the runner as root, or choose another snapshotter");
    throw Error(Code::unsupported, std::string("this kernel has no overlay file system (") + e.what() +
                                       "): load its module (modprobe overlay), or choose another snapshotter");
  }
}

UniqueFd mount_overlay(Way way, const MountRequest& request, const std::string& scratch) {
  return way == Way::new_api ? mount_new(request) : mount_classic(request, scratch);
}

}  // namespace dagger::overlay
