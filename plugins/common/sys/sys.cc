#include "plugins/common/sys/sys.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace dagger::sys {

Error error(int number, const std::string& what) {
  const auto code = [number] {
    if (number == ENOENT || number == ENOTDIR) return Code::not_found;
    if (number == EPERM || number == EACCES || number == EROFS) return Code::permission_denied;
    if (number == ENOSPC || number == EDQUOT) return Code::no_space;
    if (number == ENOSYS || number == EOPNOTSUPP || number == ENODEV) return Code::unsupported;
    if (number == EBUSY || number == EAGAIN || number == ENOMEM) return Code::unavailable;
    if (number == EINVAL || number == ELOOP || number == ENAMETOOLONG) return Code::invalid_argument;
    return Code::internal;
  }();
  return Error(code, what + ": " + std::generic_category().message(number));
}

void fail(const std::string& what) { throw error(errno, what); }

UniqueFd open_at(int dir, const std::string& path, int flags, unsigned mode) {
  UniqueFd fd(::openat(dir, path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) fail("open " + path);
  return fd;
}

UniqueFd try_open_in_root(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
    if (fd || errno == ENOENT || errno == ENOTDIR) return fd;
    if (errno != EAGAIN && errno != EINTR) fail("open " + path);  // EAGAIN: a rename raced with ".."
  }
}

UniqueFd open_in_root(int root, const std::string& path, int flags) {
  auto fd = try_open_in_root(root, path, flags);
  if (!fd) fail("open " + path);
  return fd;
}

UniqueFd clone_tree(int fd) noexcept {
  return UniqueFd(static_cast<int>(
      ::syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | static_cast<unsigned>(AT_EMPTY_PATH))));
}

bool runnable(const std::string& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::string find_program(const std::string& name, const std::string& package) {
  constexpr std::string_view folders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const bool by_name = name.find('/') == std::string::npos;
  if (!by_name && name.front() == '/' && runnable(name)) return name;
  for (std::size_t start = 0; by_name && start < folders.size();) {
    const auto end = std::min(folders.find(':', start), folders.size());
    if (auto path = std::string(folders.substr(start, end - start)) + "/" + name; runnable(path)) return path;
    start = end + 1;
  }
  throw Error(Code::unsupported, "no program " + name + (by_name ? " in " + std::string(folders) : "") +
                                     ": install the package " + package + " or set \"binary\" to its absolute path");
}

void end_child(UniqueFd& pidfd) noexcept {
  if (!pidfd) return;
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pidfd.reset();
}

std::string read_all(int fd, std::size_t limit) {
  std::string out;
  for (char buffer[16384];;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n == 0) return out;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read");
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > limit) throw Error(Code::no_space, "file has more than " + std::to_string(limit) + " bytes");
  }
}

void write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace dagger::sys
