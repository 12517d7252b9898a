// core/store/tree/tree_ops.h — reading and changing a directory tree below a root fd.
//
// Every path is resolved inside the root (openat2 RESOLVE_IN_ROOT): links and ".." cannot leave it. Paths are absolute
// in the root; messages print them as they were given. Errors: not_found "<path>: no such file or directory",
// invalid_argument "path <path> is a directory, not a file". [thread-safe] [blocking]
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/store/manifest.h"
#include "core/store/tree/owner.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

struct ListEntry {
  std::string name;
  EntryType type = EntryType::file;
};
std::vector<ListEntry> list(int root, const std::string& path);  // sorted by name
// Paths below path, relative to it, that the pattern (dag::Glob) matches; sorted.
std::vector<ListEntry> glob(int root, const std::string& path, const std::string& pattern, plugin::CallContext& ctx);

struct StatInfo {
  EntryType type = EntryType::file;
  std::uint32_t mode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
};
std::optional<StatInfo> stat(int root, const std::string& path, bool follow);
UniqueFd open_file(int root, const std::string& path);  // regular files only, for reading

// Parents are made with mode 0755 and owner 0:0. A link in the last component is followed, as a program would; other
// things that are there are replaced, a directory is not. An owner that is not set is 0:0.
void write_file(int root, const std::string& path, std::string_view data, std::uint32_t mode, const Owner& owner);
// Like mkdir -p, mode and owner for all that is made; a directory that exists keeps its own.
void make_dir(int root, const std::string& path, std::uint32_t mode, const Owner& owner);
void make_symlink(int root, const std::string& target, const std::string& link);
// Wildcards may stand in any component. Nothing there is no error.
void remove(int root, const std::string& path, bool wildcards);
// mtime and atime of everything below the root, and of the root.
void set_timestamps(int root, std::int64_t unix_seconds, plugin::CallContext& ctx);
void change_owner(int root, const std::string& path, const Owner& owner, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
