// The fields of Host.
#include "core/base/fs.h"
#include "core/session/api/access.h"

namespace dagger::session {
namespace {

Task<Value> read(ResolveCall call, std::string path) {
  HostFilter filter{texts_arg(call, "include"), texts_arg(call, "exclude")};
  auto& host = services_of(call).host;
  const auto tree =
      co_await host.directory(std::move(path), std::move(filter), flag_arg(call, "noCache"), cancel_of(call));
  co_return object(Directory{tree, "/"});
}
Task<Value> directory(ResolveCall call) { return read(call, text_arg(call, "path")); }
Task<Value> workdir(ResolveCall call) { return read(call, "."); }

// A pattern that matches just this name.
std::string quoted(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    if (std::string_view("*?[]\\!").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

// A file is a directory that holds nothing else.
Task<Value> file(ResolveCall call) {
  const auto& path = text_arg(call, "path");
  const auto name = base_name(path);
  const auto slash = path.find_last_of('/', path.find_last_not_of('/'));
  const auto parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  HostFilter only;
  only.include.push_back(quoted(name));
  auto& host = services_of(call).host;
  const auto tree = co_await host.directory(parent, std::move(only), flag_arg(call, "noCache"), cancel_of(call));
  co_return object(co_await existing_file(call, {tree, "/" + name}, path));
}

}  // namespace

void add_host(Resolvers& r) {
  later(r, "Host", "id", resolve_id<Host>);
  later(r, "Host", "directory", directory);
  later(r, "Host", "file", file);
  later(r, "Host", "workdir", workdir);
}

}  // namespace dagger::session
