// The fields of Container that mount something into it.
#include "core/dag/mount_target.h"
#include "core/session/api/container.h"
#include "core/session/api/resolver.h"

namespace dagger::session {
namespace {

std::string target_arg(const ResolveCall& call) {
  const auto& container = self<Container>(call);
  const auto& path = text_arg(call, "path");
  return absolute_in(container, flag_arg(call, "expand") ? expand_variables(path, container.config.env) : path);
}

MountPoint mount_point(const ResolveCall& call, dag::MountType type) {
  MountPoint mount;
  mount.type = type;
  mount.target = target_arg(call);
  if (mount.target == "/")
    throw Error(Code::invalid_argument, "nothing can be mounted on \"/\"; withRootfs replaces the root file system");
  dag::check_mount_target(mount.target);
  return mount;
}

// The tree with everything at path owned by owner, whose names are looked up in the container.
dag::Ref owned(const ResolveCall& call, dag::Ref tree, std::string path) {
  const auto owner = text_arg_or(call, "owner", "");
  if (owner.empty()) return tree;
  auto& runner = services_of(call).runner;
  const auto names = rootfs_of(runner, self<Container>(call));
  return runner.add(dag::Op{dag::Chown{std::move(path), owner}, {std::move(tree), names}});
}

Task<Value> with_mounted_directory(ResolveCall call) {
  const auto source = co_await load_directory(call, text_arg(call, "source"));
  auto mount = mount_point(call, dag::MountType::tree);
  mount.source = owned(call, source.tree, source.path);
  mount.subpath = source.path == "/" ? "" : source.path;
  mount.read_only = flag_arg(call, "readOnly");
  co_return object(with_mount(self<Container>(call), std::move(mount)));
}

Task<Value> with_mounted_file(ResolveCall call) {
  const auto source = co_await load<File>(call, text_arg(call, "source"));
  auto mount = mount_point(call, dag::MountType::tree);
  mount.source = owned(call, source.tree, source.path);
  mount.subpath = source.path;
  mount.is_file = true;
  co_return object(with_mount(self<Container>(call), std::move(mount)));
}

Task<Value> with_mounted_cache(ResolveCall call) {
  const auto volume = co_await load<CacheVolume>(call, text_arg(call, "cache"));
  auto mount = mount_point(call, dag::MountType::cache);
  mount.id = volume.key;
  mount.owner = text_arg_or(call, "owner", "");
  if (const auto* sharing = call.arg("sharing").as_enum())
    mount.sharing = sharing->name == "PRIVATE"  ? dag::Sharing::private_
                    : sharing->name == "LOCKED" ? dag::Sharing::locked
                                                : dag::Sharing::shared;
  if (!call.arg("source").is_null()) {
    const auto initial = co_await load_directory(call, text_arg(call, "source"));
    mount.source = tree_of(services_of(call).runner, initial);
  }
  co_return object(with_mount(self<Container>(call), std::move(mount)));
}

Task<Value> with_mounted_secret(ResolveCall call) {
  const auto secret = co_await load<Secret>(call, text_arg(call, "source"));
  auto mount = mount_point(call, dag::MountType::secret);
  mount.id = secret.name;
  mount.owner = text_arg_or(call, "owner", "");
  mount.mode = mode_arg(call, "mode", 0);
  co_return object(with_mount(self<Container>(call), std::move(mount)));
}

Value with_mounted_temp(const ResolveCall& call) {
  auto mount = mount_point(call, dag::MountType::tmpfs);
  const auto size = int_arg(call, "size", 0);
  if (size < 0) throw Error(Code::invalid_argument, "the size of a temporary mount cannot be negative");
  mount.size = static_cast<std::uint64_t>(size);
  return object(with_mount(self<Container>(call), std::move(mount)));
}

Value mounts(const ResolveCall& call) {
  Value::List targets;
  for (const auto& mount : self<Container>(call).mounts)
    if (mount.type != dag::MountType::secret && mount.type != dag::MountType::socket) targets.push_back(mount.target);
  return targets;
}

}  // namespace

void add_container_mounts(Resolvers& r) {
  later(r, "Container", "withMountedDirectory", with_mounted_directory);
  later(r, "Container", "withMountedFile", with_mounted_file);
  later(r, "Container", "withMountedCache", with_mounted_cache);
  later(r, "Container", "withMountedSecret", with_mounted_secret);
  r.value("Container", "withMountedTemp", with_mounted_temp);
  r.value("Container", "withoutMount",
          [](const ResolveCall& call) { return object(without_mount(self<Container>(call), target_arg(call))); });
  r.value("Container", "mounts", mounts);
}

}  // namespace dagger::session
