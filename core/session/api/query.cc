// The fields of Query.
#include "core/session/api/access.h"
#include "core/session/image_config.h"

namespace dagger::session {
namespace {

Task<Value> container(ResolveCall call) {
  if (const auto id = text_arg_or(call, "id", ""); !id.empty()) co_return object(co_await load<Container>(call, id));
  Container empty;
  const auto platform = text_arg_or(call, "platform", "");
  empty.platform = platform.empty() ? services_of(call).engine.platform : normalize_platform(platform);
  co_return object(std::move(empty));
}

Task<Value> directory(ResolveCall call) {
  co_return object(co_await load_directory(call, text_arg_or(call, "id", "")));
}

Task<Value> file(ResolveCall call) {
  if (call.has("id")) co_return object(co_await load<File>(call, text_arg(call, "id")));
  const auto& name = text_arg(call, "name");
  check_file_name(name);
  dag::Write write;
  write.path = "/" + name;
  write.data = text_arg(call, "contents");
  write.mode = mode_arg(call, "permissions", 0644);
  auto& runner = services_of(call).runner;
  const auto tree = runner.add(dag::Op{std::move(write), {runner.scratch()}});
  co_return object(File{tree, "/" + name});
}

Task<Value> http(ResolveCall call) {
  const auto& url = text_arg(call, "url");
  const auto colon = url.find(':');
  if (colon == std::string::npos || colon == 0)
    throw Error(Code::invalid_argument, "url \"" + url + "\" has no scheme; write it like https://example.com/file");
  link::PinRequest request;
  request.scheme = url.substr(0, colon);
  request.location = url.substr(colon + 1);
  const auto pinned = co_await services_of(call).pins.pin(std::move(request), cancel_of(call));
  if (pinned.reply.file_name.empty())
    throw Error(Code::invalid_argument, "url \"" + url + "\" names no single file; use git(url) for a directory");
  File found{pinned.tree, "/" + pinned.reply.file_name};
  const auto name = text_arg_or(call, "name", pinned.reply.file_name);
  const auto mode = mode_arg(call, "permissions", 0);
  if (name == pinned.reply.file_name && mode == 0) co_return object(std::move(found));
  check_file_name(name);
  co_return object(alone(services_of(call).runner, found, name, mode == 0 ? -1 : static_cast<std::int32_t>(mode)));
}

Task<Value> secret(ResolveCall call) {
  if (call.has("id")) co_return object(co_await load<Secret>(call, text_arg(call, "id")));
  if (call.has("uri")) {
    Secret by_uri{text_arg(call, "uri")};
    Secrets::check_uri(by_uri.name);
    co_return object(std::move(by_uri));
  }
  co_return object(Secret{text_arg(call, "name")});
}

Value set_secret(const ResolveCall& call) {
  services_of(call).secrets.set(text_arg(call, "name"), text_arg(call, "plaintext"));
  return object(Secret{text_arg(call, "name")});
}

// Every generation of clients finds the API it was made for, so there is nothing to warn of; what the client says about
// itself tells which generation it is.
Value check_version_compatibility(const ResolveCall& call) {
  const auto& version = text_arg(call, "version");
  if (!graphql::Version::parse(version))
    throw Error(Code::invalid_argument, "\"" + version + "\" is no version; write it like 0.9.3");
  request_of(call).claimed_version = version;
  return true;
}

Task<Value> node(ResolveCall call) {
  struct Entry {
    std::string_view kind;
    Task<Value> (*load)(ResolveCall);
  };
  static constexpr Entry kinds[] = {{Container::kind, resolve_load<Container>},
                                    {Directory::kind, resolve_load<Directory>},
                                    {File::kind, resolve_load<File>},
                                    {Secret::kind, resolve_load<Secret>},
                                    {CacheVolume::kind, resolve_load<CacheVolume>},
                                    {Host::kind, resolve_load<Host>},
                                    {Query::kind, resolve_load<Query>},
                                    {EnvVariable::kind, resolve_load<EnvVariable>},
                                    {Label::kind, resolve_load<Label>},
                                    {GitRepository::kind, resolve_load<GitRepository>},
                                    {GitRef::kind, resolve_load<GitRef>}};
  const auto kind = kind_of_id(text_arg(call, "id"));
  for (const auto& entry : kinds)
    if (entry.kind == kind) co_return co_await entry.load(call);
  throw Error(Code::internal, "objects of kind " + kind + " cannot be loaded");
}

Value same(const ResolveCall&) { return object(Query{}); }

Task<Value> id(ResolveCall call) { co_return co_await services_of(call).ids.id_of(Query{}, cancel_of(call)); }

}  // namespace

void add_query(Resolvers& r) {
  later(r, "Query", "container", container);
  later(r, "Query", "directory", directory);
  later(r, "Query", "file", file);
  later(r, "Query", "http", http);
  later(r, "Query", "secret", secret);
  later(r, "Query", "node", node);
  later(r, "Query", "id", id);
  r.value("Query", "setSecret", set_secret);
  r.value("Query", "checkVersionCompatibility", check_version_compatibility);
  r.value("Query", "pipeline", same);
  r.value("Query", "host", [](const ResolveCall&) { return object(Host{}); });
  r.value("Query", "defaultPlatform",
          [](const ResolveCall& call) -> Value { return services_of(call).engine.platform; });
  r.value("Query", "version", [](const ResolveCall& call) -> Value {
    request_of(call).asked_version = true;
    return services_of(call).engine.version;
  });

  later(r, "Query", "loadCacheVolumeFromID", resolve_load<CacheVolume>);
  later(r, "Query", "loadContainerFromID", resolve_load<Container>);
  later(r, "Query", "loadDirectoryFromID", resolve_load<Directory>);
  later(r, "Query", "loadEnvVariableFromID", resolve_load<EnvVariable>);
  later(r, "Query", "loadFileFromID", resolve_load<File>);
  later(r, "Query", "loadGitRefFromID", resolve_load<GitRef>);
  later(r, "Query", "loadGitRepositoryFromID", resolve_load<GitRepository>);
  later(r, "Query", "loadHostFromID", resolve_load<Host>);
  later(r, "Query", "loadLabelFromID", resolve_load<Label>);
  later(r, "Query", "loadSecretFromID", resolve_load<Secret>);
}

}  // namespace dagger::session
