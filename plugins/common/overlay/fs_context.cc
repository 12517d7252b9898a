#include "plugins/common/overlay/fs_context.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "plugins/common/sys/sys.h"

namespace dagger::overlay {
namespace {

int fsconfig(int fs, unsigned command, const char* key, const char* value) {
  return static_cast<int>(::syscall(SYS_fsconfig, fs, command, key, value, 0));
}

}  // namespace

FsContext::FsContext(const char* type)
    : type_(type), fs_(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC))) {
  if (!fs_) sys::fail("open the " + type_ + " file system");
}

// What the kernel added about the failure ("e overlay: ...").
std::string FsContext::message() const {
  char text[512] = "";
  const ssize_t n = ::read(fs_.get(), text, sizeof text - 1);
  return n > 2 ? ": " + std::string(text + 2, static_cast<std::size_t>(n) - 2) : std::string();
}

bool FsContext::takes(const char* key, const char* value) {
  return fsconfig(fs_.get(), value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value) == 0;
}

void FsContext::set(const char* key, const char* value) {
  if (takes(key, value)) return;
  const int number = errno;
  throw sys::error(
      number, type_ + " option " + std::string(key) + (value != nullptr ? "=" + std::string(value) : "") + message());
}

// fsconfig takes 255 characters and overlay takes backslashes out of them: other paths go by an fd.
void FsContext::set_path(const char* key, const std::string& path) {
  if (path.size() < 256 && path.find('\\') == std::string::npos) return set(key, path.c_str());
  const auto fd = sys::open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  set(key, sys::fd_path(fd.get()).c_str());
}

UniqueFd FsContext::mount(unsigned attributes) {
  if (fsconfig(fs_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr) != 0) {
    const int number = errno;
    throw sys::error(number, "make a mount of type " + type_ + message());
  }
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, fs_.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) sys::fail("make a mount");
  return mount;
}

UniqueFd mount_nothing() {
  FsContext fs("tmpfs");
  fs.set("mode", "0755");
  return fs.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
}

}  // namespace dagger::overlay
