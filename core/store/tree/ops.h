// core/store/tree/ops.h — operations on a tree that is reached through the fd of its root directory. Every path is
// resolved with that directory as root: "..", absolute links and links that point out stay inside. [thread-safe]
// [blocking]
//
// Errors carry the path as the caller gave it: not_found "path: no such file or directory"; invalid_argument "path X is
// a directory, not a file", "path X is a file, not a directory"; no_space; cancelled. Parents that are missing are made
// with mode 0755.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/tree/owner.h"
#include "dagger/plugin/plugin.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store::tree {

enum class Want { anything, file, directory };

// ---- reading; links are followed, also in the last component ----
// Throws if there is nothing, or something else than wanted.
struct stat stat(int root, const std::string& path, Want want = Want::anything);
// Names, sorted.
std::vector<std::string> entries(int root, const std::string& path);
// A regular file, readable, for streaming.
UniqueFd open_file(int root, const std::string& path);
// Up to limit bytes from offset.
std::string read_file(int root, const std::string& path, std::uint64_t offset, std::size_t limit);
// Paths below the root that match, sorted, directories included ("a/b"). The rules of core/dag/patterns.h, Glob.
std::vector<std::string> glob(int root, const std::string& pattern, plugin::CallContext& ctx);

// ---- changing ----
// Through a link in the last component, as a program would write.
void write_file(int root, const std::string& path, std::string_view data, unsigned mode, Owner owner);
// What is there already keeps its mode.
void make_dirs(int root, const std::string& path, unsigned mode, Owner owner);
// wildcards: * ? [ ] \ in any component. Nothing there is no error; the root itself is refused.
void remove(int root, const std::string& path, bool wildcards);
void symlink(int root, const std::string& target, const std::string& link, Owner owner = {});
// Access and modification time of everything, the root included.
void set_timestamps(int root, std::int64_t unix_seconds, plugin::CallContext& ctx);
// path and all below it; a link itself, not what it points to.
void chown(int root, const std::string& path, Owner owner, plugin::CallContext& ctx);

}  // namespace dagger::store::tree
