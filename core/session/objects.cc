#include "core/session/objects.h"

#include <algorithm>

#include "core/base/fs.h"
#include "core/session/host/paths.h"
#include "dagger/plugin/error.h"

namespace dagger::session {

std::vector<Digest> ops_of(const Container& container) {
  std::vector<Digest> ops;
  const auto add = [&](const Digest& op) {
    if (!op.zero() && std::ranges::find(ops, op) == ops.end()) ops.push_back(op);
  };
  add(container.rootfs.op);
  add(container.last_exec);
  for (const auto& mount : container.mounts) add(mount.source.op);
  return ops;
}

namespace {
bool climbs_out(std::string_view path) {
  int depth = 0;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part == "..") {
      if (--depth < 0) return true;
    } else if (!part.empty() && part != ".") {
      ++depth;
    }
  }
  return false;
}
}  // namespace

std::string within(const Directory& directory, std::string_view path) {
  check_path(path);
  if (climbs_out(path))
    throw Error(Code::invalid_argument, "path \"" + std::string(path) + "\" leaves the directory it is relative to");
  const auto below = clean_path(path);
  return below == "/" ? directory.path : directory.path == "/" ? below : directory.path + below;
}

}  // namespace dagger::session
