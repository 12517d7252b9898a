#include "plugins/snapshotter-overlay/overlay_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <exception>
#include <thread>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

// No feature that leaves more in the upper than changes: sealed, it becomes a layer of other stacks. volatile: the
// store decides what is durable, so a sync inside a container costs nothing.
constexpr const char* fixed_options[][2] = {{"index", "off"}, {"metacopy", "off"}, {"redirect_dir", "off"}};

int fsconfig(int fs, unsigned command, const char* key, const char* value) {
  return static_cast<int>(::syscall(SYS_fsconfig, fs, command, key, value, 0));
}

UniqueFd fsopen(const char* type) {
  UniqueFd fs(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)));
  if (!fs) sys::fail(std::string("open the ") + type + " file system");
  return fs;
}

// What the kernel added about the failure ("e overlay: ...").
std::string kernel_message(int fs) {
  char text[512] = "";
  const ssize_t n = ::read(fs, text, sizeof text - 1);
  return n > 2 ? ": " + std::string(text + 2, static_cast<std::size_t>(n) - 2) : std::string();
}

void set(int fs, const char* key, const char* value) {
  if (fsconfig(fs, value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value) == 0) return;
  const int number = errno;
  throw sys::error(number, "overlay option " + std::string(key) + (value != nullptr ? "=" + std::string(value) : "") +
                               kernel_message(fs));
}

// fsconfig takes 255 characters and overlay takes backslashes out of them: other paths go by an fd.
void set_path(int fs, const char* key, const std::string& path) {
  if (path.size() < 256 && path.find('\\') == std::string::npos) return set(fs, key, path.c_str());
  const auto fd = sys::open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  set(fs, key, sys::fd_path(fd.get()).c_str());
}

UniqueFd create(int fs, unsigned attributes) {
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr) != 0) {
    const int number = errno;
    throw sys::error(number, "make an overlay mount" + kernel_message(fs));
  }
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes)));
  if (!mount) sys::fail("make a mount");
  return mount;
}

UniqueFd mount_new(const MountRequest& r) {
  const auto fs = fsopen("overlay");
  for (const auto& lower : r.lowers) set_path(fs.get(), "lowerdir+", lower);
  for (const auto& [key, value] : fixed_options) set(fs.get(), key, value);
  if (r.upper.empty()) return create(fs.get(), MOUNT_ATTR_RDONLY);
  set_path(fs.get(), "upperdir", r.upper);
  set_path(fs.get(), "workdir", r.work);
  set(fs.get(), "volatile", nullptr);
  return create(fs.get(), 0);
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
    const auto fs = fsopen("overlay");
    return fsconfig(fs.get(), FSCONFIG_SET_STRING, "lowerdir+", probe_dir.c_str()) == 0 ? Way::new_api : Way::classic;
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

UniqueFd mount_nothing() {
  const auto fs = fsopen("tmpfs");
  set(fs.get(), "mode", "0755");
  return create(fs.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
}

}  // namespace dagger::overlay
