// plugins/common/sys/sys.h — system calls that several plugins make, with failures as dagger::Error.
//
// Plugins include nothing of core, so the few calls they need are here. Every fd is O_CLOEXEC; paths from inside a
// container go through open_in_root only. [thread-safe] [blocking]
#pragma once
#include <string>
#include <string_view>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::sys {

// "what: strerror(number)" with the code that fits the number.
[[nodiscard]] Error error(int number, const std::string& what);
// Throws error(errno, what).
[[noreturn]] void fail(const std::string& what);

UniqueFd open_at(int dir, const std::string& path, int flags, unsigned mode = 0);
// openat2(2) with RESOLVE_IN_ROOT: "..", absolute and magic links cannot leave root. root may be O_PATH.
UniqueFd open_in_root(int root, const std::string& path, int flags);
// The same, but an object that does not exist (or has a non-directory on its way) gives an empty fd.
UniqueFd try_open_in_root(int root, const std::string& path, int flags);

// A detached copy of the mount at fd (open_tree(OPEN_TREE_CLONE)), of this directory or file only. Empty, with errno
// set, when the kernel cannot: before 6.15 not from a mount that is itself detached.
UniqueFd clone_tree(int fd) noexcept;

// Whether it is an executable file.
bool runnable(const std::string& path);
// The absolute path of a program of another package: name is an absolute path, or looked for in the system's program
// folders. Throws unsupported, which names the package.
std::string find_program(const std::string& name, const std::string& package);
// Kills the child and reaps it, if there is one.
void end_child(UniqueFd& pidfd) noexcept;

std::string read_all(int fd, std::size_t limit);  // throws no_space when there is more than limit
void write_all(int fd, std::string_view data);
std::string fd_path(int fd);  // "/proc/self/fd/N"

}  // namespace dagger::sys
