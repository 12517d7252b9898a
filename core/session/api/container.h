// core/session/api/container.h — building on a container: pure functions from container to container. Control thread
// only because they add ops to the session's table; they never wait. Errors: invalid_argument with the texts that
// clients know ("no such file or directory", ...).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/session/objects.h"
#include "core/session/runner.h"

namespace dagger::session {

dag::Ref rootfs_of(Runner& runner, const Container& container);
// The tree behind a directory as a tree of its own.
dag::Ref tree_of(Runner& runner, const Directory& directory);
std::string absolute_in(const Container& container, std::string_view path);

// Where a path of the container lies: in its root filesystem, or in one of its mounts.
struct Located {
  int mount = -1;    // index into mounts; -1: the root filesystem
  std::string path;  // within the tree there; with a mount's subpath in front
};
Located locate(const Container& container, const std::string& path);
// The tree to read a path from. shown: the path as the client wrote it. Throws when it lies in a cache or a tmpfs.
Directory readable(Runner& runner, const Container& container, std::string_view shown);

struct CopyIn {
  dag::Ref source;
  dag::Copy copy;  // source path, filters, owner, mode; the target is set by copy_into()
};
Container copy_into(Runner& runner, Container container, const std::string& path, CopyIn what);
Container write_into(Runner& runner, Container container, const std::string& path, dag::Write write);
Container remove_from(Runner& runner, Container container, const std::string& path);

Container with_mount(Container container, MountPoint mount);
Container without_mount(Container container, const std::string& target);

struct ExecOptions {
  std::vector<std::string> args;
  bool use_entrypoint = true;
  std::string stdin_text, redirect_stdin, redirect_stdout, redirect_stderr;
  dag::Expect expect = dag::Expect::success;
  bool root_capabilities = false;
};
Container with_exec(Runner& runner, Container container, ExecOptions options);

}  // namespace dagger::session
