#include "core/plugin/isolation/isolate.h"

#include "core/base/fs.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/isolation/proxy.h"
#include "dagger/plugin/secret_provider.h"

namespace dagger::plugin::isolation {
namespace {

using MakeProxy = std::unique_ptr<Plugin> (*)(SupervisorPtr);

// Null: plugins of this kind run inside the engine.
MakeProxy proxy_for(std::string_view kind) {
  if (kind == Source::kind) return make_source_proxy;
  if (kind == SecretProvider::kind) return make_secret_proxy;
  if (kind == Network::kind) return make_network_proxy;
  if (kind == CacheStore::kind) return make_cache_proxy;
  return nullptr;
}

bool is_bundled(const std::string& path, const std::string& install_dir) {
  const auto dir = install_dir + bundled_plugins;
  return exists(dir) && exists(path) && parent_path(canonical_path(path)) == canonical_path(dir);
}

}  // namespace

bool is_isolated(std::string_view kind, const std::string& path, const PluginChoice& choice,
                 const std::string& install_dir) {
  if (choice.isolation == Isolation::process && proxy_for(kind) == nullptr) {
    throw Error(Code::unsupported,
                (choice.origin.empty() ? "" : choice.origin + ": ") + "isolation = \"process\" of " +
                    std::string(kind) + " '" + choice.use +
                    "': plugins of this kind run inside the engine; remove isolation, or set \"none\"");
  }
  if (choice.isolation != Isolation::by_place) return choice.isolation == Isolation::process;
  return proxy_for(kind) != nullptr && !is_bundled(path, install_dir);
}

LoadedPlugin load_isolated(const std::string& file, std::string_view kind, const PluginChoice& choice,
                           const MakeHost& make_host, Spawner& spawner, LogReader& logs) try {
  const auto checked = check_plugin_file(file, kind, choice);
  const auto& schema = checked.contents.settings_schema;
  LoadedPlugin loaded;
  loaded.path = checked.path, loaded.manifest = checked.contents.manifest;
  const auto label = loaded.manifest.label();
  if (schema) check_plugin_settings(label, *schema, choice);
  loaded.host = make_host(loaded.manifest);

  Launch launch;
  launch.program = std::string(loaded.host->install_dir()) + "/lib/dagger/dagger-plugin-host";
  if (!exists(launch.program))
    throw Error(Code::not_found, "its process needs " + launch.program +
                                     ", which is missing; install the engine again, or set isolation = \"none\"");
  launch.label = label;
  launch.start = {checked.path,
                  std::string(kind),
                  loaded.manifest.name,
                  choice.settings,
                  std::string(loaded.host->state_dir()),
                  std::string(loaded.host->install_dir())};
  launch.check = [path = checked.path, kind = std::string(kind), choice] { check_plugin_file(path, kind, choice); };
  auto supervisor = std::make_unique<Supervisor>(std::move(launch), spawner, logs);
  if (!schema) check_plugin_settings(label, supervisor->started().config_schema, choice);
  loaded.instance = proxy_for(kind)(std::move(supervisor));
  return loaded;
} catch (const Error& e) {
  throw Error(e).in("cannot load plugin " + file);
}

}  // namespace dagger::plugin::isolation
