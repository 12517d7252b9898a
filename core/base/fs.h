// core/base/fs.h — file system calls that are safe on paths from outside, and small helpers around fds.
//
// Every path that came from outside goes through *_in_root: openat2(2) with RESOLVE_IN_ROOT, so that "..", absolute
// links and magic links cannot leave the root. Errors: dagger::Error with the system's text and the path; ENOSPC and
// EDQUOT become no_space, ENOENT and ENOTDIR not_found, EACCES and EPERM permission_denied. [thread-safe] [blocking]
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger {

// Error from errno: "what: strerror".
[[nodiscard]] Error errno_error(int number, const std::string& what);
[[noreturn]] void throw_errno(const std::string& what);

UniqueFd open_file(const std::string& path, int flags, unsigned mode = 0);         // trusted path; O_CLOEXEC added
UniqueFd open_at(int dir, const std::string& name, int flags, unsigned mode = 0);  // trusted name; O_CLOEXEC added
UniqueFd open_in_root(int root, const std::string& path, int flags, unsigned mode = 0);
// The same without following a link in the last component.
UniqueFd open_in_root_nofollow(int root, const std::string& path, int flags, unsigned mode = 0);
// Makes every missing directory of path below root (mode before umask) and opens the last one as O_PATH|O_DIRECTORY.
UniqueFd make_dirs_in_root(int root, const std::string& path, unsigned mode = 0755);

void make_dirs(const std::string& path, unsigned mode = 0755);  // trusted path, like mkdir -p
std::string read_all(int fd, std::size_t limit);                // throws no_space when there is more than limit
std::string read_file(const std::string& path, std::size_t limit = 1 << 20);
void write_all(int fd, std::string_view data);
// Writes beside path and renames; no sync.
void write_file_atomically(const std::string& path, std::string_view data, unsigned mode = 0644);
bool exists(const std::string& path);

// Removes name below dir with all it holds: never follows links, never leaves the file system, needs no memory per
// entry of a directory, bounded stack. Missing: no error.
void remove_tree_at(int dir, const std::string& name);
void remove_tree(const std::string& path);  // trusted path

// A directory that is removed with its contents at the end of scope.
class TempDir {
 public:
  explicit TempDir(const std::string& parent = "/tmp", const std::string& prefix = "dagger-");
  TempDir(TempDir&& o) noexcept : path_(std::exchange(o.path_, {})) {}
  TempDir& operator=(TempDir&& o) noexcept;
  ~TempDir();
  const std::string& path() const noexcept { return path_; }
  std::string release() { return std::exchange(path_, {}); }  // keeps it

 private:
  std::string path_;
};

// A sealed memfd with these bytes, positioned at 0: cannot be changed or grown.
UniqueFd sealed_memfd(std::string_view data, const char* name);

// "/a/../b//c/" -> "/b/c"; relative input is taken from "/". Pure text: knows no links.
std::string clean_path(std::string_view path);
// base for relative paths; the result is clean and absolute.
std::string join_path(std::string_view base, std::string_view path);
std::string base_name(std::string_view path);
std::string parent_path(std::string_view path);  // of a clean absolute path; "/" for "/"

}  // namespace dagger
