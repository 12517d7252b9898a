// core/store/tree/dir.h — reading directories and attributes through fds. Names are single components; nothing follows
// a link in the last component. Errors as in core/base/fs.h. [thread-safe] [blocking]
#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

// Bytewise sorted, without "." and "..". dir: readable, not O_PATH; its read position moves.
std::vector<std::string> sorted_names(int dir);

struct stat stat_at(int dir, const std::string& name);  // throws not_found
std::optional<struct stat> try_stat_at(int dir, const std::string& name);
struct stat stat_of(int fd);
std::string read_link_at(int dir, const std::string& name);
UniqueFd open_dir_at(int dir, const std::string& name);  // O_RDONLY; a link is refused
// An O_PATH fd cannot be read: the same directory, readable.
UniqueFd reopen_dir(int path_fd);

using Xattrs = std::vector<std::pair<std::string, std::string>>;  // sorted by name

// Of name in dir, or of dir itself where name is ".". Empty where the file system has none.
Xattrs read_xattrs(int dir, const std::string& name);
// A file system that does not know the attribute's class ignores it.
void write_xattr(int dir, const std::string& name, const std::string& attribute, const std::string& value);

constexpr const char* trusted_overlay = "trusted.overlay.";
constexpr const char* user_overlay = "user.overlay.";
inline bool is_overlay_mark(std::string_view attribute) {
  return attribute.starts_with(trusted_overlay) || attribute.starts_with(user_overlay);
}
inline bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }
inline std::int64_t mtime_ns(const struct stat& st) {
  return std::int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
}
timespec to_timespec(std::int64_t ns);

}  // namespace dagger::store
