// The fields of Directory.
#include "core/base/fs.h"
#include "core/session/api/access.h"
#include "core/session/api/container.h"

namespace dagger::session {
namespace {

constexpr graphql::Version slash_after_directories{0, 17, 0};

Directory inside(const Directory& directory, const std::string& path) {
  return {directory.tree, within(directory, path)};
}

// The directory after an op on its tree.
template <class Fields>
Value changed(const ResolveCall& call, Fields fields, std::vector<dag::Ref> more_inputs = {}) {
  const auto& directory = self<Directory>(call);
  dag::Op op{std::move(fields), {directory.tree}};
  op.inputs.insert(op.inputs.end(), more_inputs.begin(), more_inputs.end());
  return object(Directory{services_of(call).runner.add(std::move(op)), directory.path});
}

Value names(const ResolveCall& call, const std::vector<link::Entry>& entries) {
  const bool slash = client_since(call, slash_after_directories);
  Value::List list;
  for (const auto& entry : entries) list.push_back(entry.directory && slash ? entry.name + "/" : entry.name);
  return list;
}

Task<Value> entries(ResolveCall call) {
  const auto path = text_arg_or(call, "path", "");
  const auto place = inside(self<Directory>(call), path);
  co_return names(call, co_await services_of(call).runner.entries(place.tree, place.path, cancel_of(call)));
}

Task<Value> glob(ResolveCall call) {
  const auto& directory = self<Directory>(call);
  auto found =
      services_of(call).runner.glob(directory.tree, directory.path, text_arg(call, "pattern"), cancel_of(call));
  co_return names(call, co_await found);
}

Task<Value> directory(ResolveCall call) {
  const auto& path = text_arg(call, "path");
  co_return object(co_await existing_directory(call, inside(self<Directory>(call), path), path));
}

Task<Value> file(ResolveCall call) {
  const auto& path = text_arg(call, "path");
  co_return object(co_await existing_file(call, inside(self<Directory>(call), path), path));
}

Task<Value> with_directory(ResolveCall call) {
  const auto source = co_await load_directory(call, text_arg(call, given_arg(call, "source", "directory")));
  auto target = within(self<Directory>(call), text_arg(call, "path"));
  co_return changed(call, directory_copy(call, source, std::move(target)), {source.tree});
}

Task<Value> with_file(ResolveCall call) {
  const auto source = co_await load<File>(call, text_arg(call, "source"));
  auto target = within(self<Directory>(call), text_arg(call, "path"));
  co_return changed(call, file_copy(call, source, std::move(target)), {source.tree});
}

Value with_new_file(const ResolveCall& call) {
  dag::Write write;
  write.path = within(self<Directory>(call), text_arg(call, "path"));
  check_name_length(write.path);
  write.data = text_arg(call, "contents");
  write.mode = mode_arg(call, "permissions", 0644);
  return changed(call, std::move(write));
}

Value with_new_directory(const ResolveCall& call) {
  dag::Mkdir mkdir;
  mkdir.path = within(self<Directory>(call), text_arg(call, "path"));
  mkdir.mode = mode_arg(call, "permissions", 0755);
  return changed(call, std::move(mkdir));
}

Value without_path(const ResolveCall& call) {
  dag::Remove remove;
  remove.path = within(self<Directory>(call), text_arg(call, "path"));
  return changed(call, std::move(remove));
}

Value with_timestamps(const ResolveCall& call) {
  auto& runner = services_of(call).runner;
  dag::Op op{dag::Timestamps{int_arg(call, "timestamp", 0)}, {tree_of(runner, self<Directory>(call))}};
  return object(Directory{runner.add(std::move(op)), "/"});
}

Task<Value> sync(ResolveCall call) {
  const auto& place = self<Directory>(call);
  co_await existing_directory(call, place, place.path);
  co_return co_await resolve_id<Directory>(call);
}

Task<Value> digest(ResolveCall call) {
  auto& runner = services_of(call).runner;
  const auto tree = tree_of(runner, self<Directory>(call));
  co_return co_await runner.tree_digest(tree, cancel_of(call));
}

Task<Value> export_to_client(ResolveCall call) {
  const auto& place = self<Directory>(call);
  auto& host = services_of(call).host;
  co_return exported(call,
                     co_await host.export_directory(place.tree, place.path, text_arg(call, "path"), cancel_of(call)));
}

}  // namespace

void add_directory(Resolvers& r) {
  later(r, "Directory", "id", resolve_id<Directory>);
  later(r, "Directory", "sync", sync);
  later(r, "Directory", "entries", entries);
  later(r, "Directory", "glob", glob);
  later(r, "Directory", "digest", digest);
  later(r, "Directory", "directory", directory);
  later(r, "Directory", "file", file);
  later(r, "Directory", "export", export_to_client);
  later(r, "Directory", "withDirectory", with_directory);
  later(r, "Directory", "withFile", with_file);
  r.value("Directory", "name", [](const ResolveCall& call) -> Value { return base_name(self<Directory>(call).path); });
  r.value("Directory", "withNewFile", with_new_file);
  r.value("Directory", "withNewDirectory", with_new_directory);
  r.value("Directory", "withoutFile", without_path);
  r.value("Directory", "withoutDirectory", without_path);
  r.value("Directory", "withTimestamps", with_timestamps);
  r.value("Directory", "pipeline", [](const ResolveCall& call) { return object(self<Directory>(call)); });
}

}  // namespace dagger::session
