// The fields of File.
#include "core/base/fs.h"
#include "core/session/api/access.h"

namespace dagger::session {
namespace {

constexpr std::uint64_t max_contents = 128 << 20;

Task<link::Stat> stat(ResolveCall call) {
  const auto& file = self<File>(call);
  co_return co_await require(call, {file.tree, file.path}, Expected::file, file.path);
}

Task<Value> contents(ResolveCall call) {
  const auto& file = self<File>(call);
  const auto found = co_await stat(call);
  if (found.size > max_contents)
    throw Error(Code::invalid_argument, "file size " + std::to_string(found.size) + " exceeds limit " +
                                            std::to_string(max_contents) + ": export it, or read it in a container");
  co_return co_await services_of(call).runner.read_file(file.tree, file.path, max_contents, cancel_of(call));
}

Task<Value> size(ResolveCall call) { co_return static_cast<std::int64_t>((co_await stat(call)).size); }

Task<Value> sync(ResolveCall call) {
  co_await stat(call);
  co_return co_await resolve_id<File>(call);
}

Task<Value> digest(ResolveCall call) {
  auto& runner = services_of(call).runner;
  const auto file = alone(runner, self<File>(call), base_name(self<File>(call).path));
  co_return co_await runner.tree_digest(file.tree, cancel_of(call));
}

Task<Value> export_to_client(ResolveCall call) {
  const auto& file = self<File>(call);
  const auto& path = text_arg(call, "path");
  auto written = services_of(call).host.export_file(file.tree, file.path, path, flag_arg(call, "allowParentDirPath"),
                                                    cancel_of(call));
  co_return exported(call, co_await written);
}

Value with_name(const ResolveCall& call) {
  const auto& name = text_arg(call, "name");
  check_file_name(name);
  return object(alone(services_of(call).runner, self<File>(call), name));
}

Value with_timestamps(const ResolveCall& call) {
  auto& runner = services_of(call).runner;
  auto file = alone(runner, self<File>(call), base_name(self<File>(call).path));
  file.tree = runner.add(dag::Op{dag::Timestamps{int_arg(call, "timestamp", 0)}, {file.tree}});
  return object(std::move(file));
}

}  // namespace

void add_file(Resolvers& r) {
  later(r, "File", "id", resolve_id<File>);
  later(r, "File", "sync", sync);
  later(r, "File", "contents", contents);
  later(r, "File", "size", size);
  later(r, "File", "digest", digest);
  later(r, "File", "export", export_to_client);
  r.value("File", "name", [](const ResolveCall& call) -> Value { return base_name(self<File>(call).path); });
  r.value("File", "withName", with_name);
  r.value("File", "withTimestamps", with_timestamps);
}

}  // namespace dagger::session
