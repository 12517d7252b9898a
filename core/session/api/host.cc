// The fields of Host.
#include <optional>

#include "core/base/fs.h"
#include "core/session/api/access.h"
#include "core/session/host/paths.h"

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
Task<File> only_file(ResolveCall call, std::string path) {
  const auto name = base_name(path);
  const auto slash = path.find_last_of('/', path.find_last_not_of('/'));
  const auto parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  HostFilter only;
  only.include.push_back(quoted(name));
  auto& host = services_of(call).host;
  const auto tree = co_await host.directory(parent, std::move(only), flag_arg(call, "noCache"), cancel_of(call));
  co_return co_await existing_file(call, {tree, "/" + name}, path);
}

// The tree of a link to a file does not hold what it leads to, and that of a device, say, holds nothing: only then the
// host is looked at once more.
Task<Value> file(ResolveCall call) {
  const auto& path = text_arg(call, "path");
  check_path(path);
  check_name_length(path);
  std::optional<File> found;
  try {
    found = co_await only_file(call, path);
  } catch (const Error& error) {
    if (error.code() != Code::not_found && error.code() != Code::invalid_argument) throw;
  }
  if (found) co_return object(std::move(*found));
  const auto real = co_await services_of(call).host.find_file(path);
  found = co_await only_file(call, real);
  co_return object(alone(services_of(call).runner, *found, base_name(path)));
}

}  // namespace

void add_host(Resolvers& r) {
  later(r, "Host", "id", resolve_id<Host>);
  later(r, "Host", "directory", directory);
  later(r, "Host", "file", file);
  later(r, "Host", "workdir", workdir);
}

}  // namespace dagger::session
