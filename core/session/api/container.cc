#include "core/session/api/container.h"

#include <algorithm>

#include "core/base/fs.h"
#include "core/session/host/paths.h"

namespace dagger::session {
namespace {

bool lies_in(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

bool holds_files(const MountPoint& mount) {
  return mount.type == dag::MountType::tree || mount.type == dag::MountType::cache ||
         mount.type == dag::MountType::tmpfs;
}

// Replaces what a path lies in by an op on it.
template <class Fields>
Container change(Runner& runner, Container container, const std::string& path, Fields fields,
                 std::string Fields::* target, std::vector<dag::Ref> more_inputs) {
  const auto place = locate(container, path);
  auto& tree = place.mount < 0 ? container.rootfs : container.mounts[static_cast<std::size_t>(place.mount)].source;
  if (place.mount >= 0 && container.mounts[static_cast<std::size_t>(place.mount)].type != dag::MountType::tree)
    throw Error(Code::invalid_argument, path + ": cannot write into a cache or a tmpfs; do it in a withExec");
  bool named_owner = false;  // names are looked up in the root filesystem, also for what lies in a mount
  if constexpr (requires { fields.owner; }) named_owner = !fields.owner.empty();
  fields.*target = place.path;
  dag::Op op{std::move(fields), {place.mount < 0 ? rootfs_of(runner, container) : tree}};
  op.inputs.insert(op.inputs.end(), more_inputs.begin(), more_inputs.end());
  if (named_owner && place.mount >= 0) op.inputs.push_back(rootfs_of(runner, container));
  tree = runner.add(std::move(op));
  container.image_ref.clear();
  return container;
}

dag::Mount exec_mount(const MountPoint& mount, dag::Op& op) {
  dag::Mount result;
  result.type = mount.type;
  result.target = mount.target;
  if (mount.has_source()) {
    result.input = static_cast<std::int32_t>(op.inputs.size());
    op.inputs.push_back(mount.source);
  }
  result.subpath = mount.subpath;
  result.read_only = mount.read_only;
  result.id = mount.id;
  result.sharing = mount.sharing;
  result.owner = mount.owner;
  result.mode = mount.mode;
  result.size = mount.size;
  return result;
}

std::vector<std::string> command_of(const Container& container, const ExecOptions& options) {
  auto args = options.args.empty() ? container.config.default_args : options.args;
  if (options.use_entrypoint)
    args.insert(args.begin(), container.config.entrypoint.begin(), container.config.entrypoint.end());
  if (args.empty()) throw Error(Code::invalid_argument, "no command has been set");
  if (args.front().empty())
    throw Error(Code::invalid_argument, "the command is empty: the first argument, which names it, is \"\"");
  return args;
}

std::string redirect(const Container& container, const std::string& path) {
  return path.empty() ? path : absolute_in(container, path);
}

}  // namespace

dag::Ref rootfs_of(Runner& runner, const Container& container) {
  return container.rootfs.op.zero() ? runner.scratch() : container.rootfs;
}

dag::Ref tree_of(Runner& runner, const Directory& directory) {
  if (directory.path == "/") return directory.tree;
  return runner.add(dag::Op{dag::Subpath{directory.path}, {directory.tree}});
}

std::string absolute_in(const Container& container, std::string_view path) {
  check_path(path);
  return join_path(container.config.workdir.empty() ? "/" : container.config.workdir, path);
}

Located locate(const Container& container, const std::string& path) {
  for (int i = static_cast<int>(container.mounts.size()) - 1; i >= 0; --i) {
    const auto& mount = container.mounts[static_cast<std::size_t>(i)];
    if (!holds_files(mount) || !lies_in(path, mount.target)) continue;
    const auto rest = mount.target == "/" ? path : path.substr(mount.target.size());
    return {i, clean_path(mount.subpath + "/" + rest)};
  }
  return {-1, path};
}

Directory readable(Runner& runner, const Container& container, std::string_view shown) {
  const auto place = locate(container, absolute_in(container, shown));
  if (place.mount < 0) return {rootfs_of(runner, container), place.path};
  const auto& mount = container.mounts[static_cast<std::size_t>(place.mount)];
  if (mount.type == dag::MountType::cache)
    throw Error(Code::invalid_argument, std::string(shown) + ": cannot retrieve path from cache");
  if (mount.type == dag::MountType::tmpfs)
    throw Error(Code::invalid_argument, std::string(shown) + ": cannot retrieve path from tmpfs");
  return {mount.source, place.path};
}

Container copy_into(Runner& runner, Container container, const std::string& path, CopyIn what) {
  return change(runner, std::move(container), path, std::move(what.copy), &dag::Copy::target, {what.source});
}

Container write_into(Runner& runner, Container container, const std::string& path, dag::Write write) {
  return change(runner, std::move(container), path, std::move(write), &dag::Write::path, {});
}

Container remove_from(Runner& runner, Container container, const std::string& path) {
  return change(runner, std::move(container), path, dag::Remove{}, &dag::Remove::path, {});
}

Container with_mount(Container container, MountPoint mount) {
  const bool files = holds_files(mount);
  std::erase_if(container.mounts, [&](const MountPoint& other) {
    return files ? holds_files(other) && lies_in(other.target, mount.target)
                 : !holds_files(other) && other.target == mount.target;
  });
  container.mounts.push_back(std::move(mount));
  container.image_ref.clear();
  return container;
}

Container without_mount(Container container, const std::string& target) {
  const auto removed = std::erase_if(
      container.mounts, [&](const MountPoint& mount) { return holds_files(mount) && mount.target == target; });
  if (removed != 0) container.image_ref.clear();
  return container;
}

Container with_exec(Runner& runner, Container container, ExecOptions options) {
  dag::Exec exec;
  exec.args = command_of(container, options);
  exec.env = container.config.env;
  exec.secret_env = container.secret_env;
  exec.cwd = container.config.workdir.empty() ? "/" : clean_path(container.config.workdir);
  exec.user = container.config.user;
  exec.stdin_text = std::move(options.stdin_text);
  exec.redirect_stdin = redirect(container, options.redirect_stdin);
  exec.redirect_stdout = redirect(container, options.redirect_stdout);
  exec.redirect_stderr = redirect(container, options.redirect_stderr);
  exec.expect = options.expect;
  exec.root_capabilities = options.root_capabilities;
  exec.platform = container.platform;

  dag::Op op{dag::Scratch{}, {rootfs_of(runner, container)}};
  // Parents before what lies in them; on one target a secret lies over a file.
  const auto order = [](const dag::Mount& m) {
    const bool over = m.type == dag::MountType::secret || m.type == dag::MountType::socket;
    return std::pair(std::ranges::count(m.target, '/'), over);
  };
  for (const auto& point : container.mounts) {
    auto mount = exec_mount(point, op);
    const auto at = std::ranges::upper_bound(exec.mounts, order(mount), {}, order);
    exec.mounts.insert(at, std::move(mount));
  }
  op.fields = std::move(exec);

  const auto ran = runner.add(op);
  container.rootfs = ran;
  container.last_exec = ran.op;
  for (auto& mount : container.mounts)
    if (mount.type == dag::MountType::tree && !mount.read_only) mount.source = {ran.op, "mount:" + mount.target};
  container.image_ref.clear();
  return container;
}

}  // namespace dagger::session
