// The fields of Container that read or change its files.
#include "core/session/api/access.h"
#include "core/session/api/container.h"

namespace dagger::session {
namespace {

std::string path_arg(const ResolveCall& call) {
  const auto& path = text_arg(call, "path");
  return flag_arg(call, "expand") ? expand_variables(path, self<Container>(call).config.env) : path;
}

Task<Value> directory(ResolveCall call) {
  const auto path = path_arg(call);
  auto place = readable(services_of(call).runner, self<Container>(call), path);
  co_return object(co_await existing_directory(call, std::move(place), path));
}

Task<Value> file(ResolveCall call) {
  const auto path = path_arg(call);
  auto place = readable(services_of(call).runner, self<Container>(call), path);
  co_return object(co_await existing_file(call, std::move(place), path));
}

Value rootfs(const ResolveCall& call) {
  return object(Directory{rootfs_of(services_of(call).runner, self<Container>(call)), "/"});
}

Task<Value> set_rootfs(ResolveCall call, std::string id) {
  auto container = self<Container>(call);
  const auto directory = co_await load_directory(call, std::move(id));
  container.rootfs = tree_of(services_of(call).runner, directory);
  container.last_exec = {};
  container.image_ref.clear();
  co_return object(std::move(container));
}
Task<Value> with_rootfs(ResolveCall call) {
  return set_rootfs(call, text_arg(call, given_arg(call, "directory", "id")));
}
Task<Value> with_fs(ResolveCall call) { return set_rootfs(call, text_arg(call, "id")); }

Task<Value> with_directory(ResolveCall call) {
  const auto source = co_await load_directory(call, text_arg(call, given_arg(call, "source", "directory")));
  const auto& container = self<Container>(call);
  CopyIn what{source.tree, directory_copy(call, source, "")};
  co_return object(
      copy_into(services_of(call).runner, container, absolute_in(container, path_arg(call)), std::move(what)));
}

Task<Value> with_file(ResolveCall call) {
  const auto source = co_await load<File>(call, text_arg(call, "source"));
  const auto& container = self<Container>(call);
  const auto path = absolute_in(container, path_arg(call));
  CopyIn what{source.tree, file_copy(call, source, path)};
  co_return object(copy_into(services_of(call).runner, container, path, std::move(what)));
}

Value with_new_file(const ResolveCall& call) {
  const auto& container = self<Container>(call);
  const auto path = absolute_in(container, path_arg(call));
  check_name_length(path);
  dag::Write write;
  write.data = text_arg_or(call, "contents", "");
  write.owner = text_arg_or(call, "owner", "");
  write.mode = mode_arg(call, "permissions", 0644);
  return object(write_into(services_of(call).runner, container, path, std::move(write)));
}

Value without_path(const ResolveCall& call) {
  const auto& container = self<Container>(call);
  return object(remove_from(services_of(call).runner, container, absolute_in(container, path_arg(call))));
}

}  // namespace

void add_container_files(Resolvers& r) {
  later(r, "Container", "directory", directory);
  later(r, "Container", "file", file);
  r.value("Container", "rootfs", rootfs);
  r.value("Container", "fs", rootfs);
  later(r, "Container", "withRootfs", with_rootfs);
  later(r, "Container", "withFS", with_fs);
  later(r, "Container", "withDirectory", with_directory);
  later(r, "Container", "withFile", with_file);
  r.value("Container", "withNewFile", with_new_file);
  r.value("Container", "withoutDirectory", without_path);
  r.value("Container", "withoutFile", without_path);
}

}  // namespace dagger::session
