// core/store/tree/walk.h — every entry below a directory, parents first, names sorted, without following links.
// Explicit stack; depth is limited, since each level holds an fd.
#pragma once
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "core/store/tree/dir.h"
#include "dagger/plugin/plugin.h"

namespace dagger::store::tree {

struct Step {
  std::string path;  // relative to the top: "a/b"
  int dir;           // the directory it is in
  std::string name;
  struct stat stat;
};

inline constexpr std::size_t max_depth = 500;

// each(step) returns whether to go into a directory. Throws cancelled, invalid_argument (too deep).
template <class Each>
void walk(int top, plugin::CallContext& ctx, Each each) {
  struct Level {
    UniqueFd dir;
    std::string path;
    std::vector<std::string> names;
    std::size_t next = 0;
  };
  std::vector<Level> levels;
  const auto enter = [&](UniqueFd dir, std::string path) {
    if (levels.size() >= max_depth)
      throw Error(Code::invalid_argument, path + ": directories are nested deeper than " + std::to_string(max_depth));
    auto names = sorted_names(dir.get());
    levels.push_back({std::move(dir), std::move(path), std::move(names)});
  };
  enter(reopen_dir(top), "");
  while (!levels.empty()) {
    auto& level = levels.back();
    if (level.next == level.names.size()) {
      levels.pop_back();
      continue;
    }
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled in a walk of a directory tree");
    const std::string name = level.names[level.next++];
    const auto st = try_stat_at(level.dir.get(), name);
    if (!st) continue;
    Step step{level.path.empty() ? name : level.path + "/" + name, level.dir.get(), name, *st};
    if (each(step) && S_ISDIR(st->st_mode)) enter(open_dir_at(level.dir.get(), name), step.path);
  }
}

}  // namespace dagger::store::tree
