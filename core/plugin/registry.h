// core/plugin/registry.h — every plugin of this process, by kind and by what it serves.
//
// Filled once at start-up, from the configuration, then only read. Owns the plugins, each behind its guard, inside this
// process or in one of its own (isolation/isolate.h); destroys them in reverse order of loading. Everything that
// plugins handed out must be gone by then. Lookups are [thread-safe] after the last load().
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/plugin/guard.h"
#include "core/plugin/isolation/log_reader.h"

namespace dagger::plugin {

// Of a plugin that cannot be made: whether that is the machine's fault (unsupported, permission_denied, not_found,
// unavailable), so that the next one of a list of choices may do.
bool works_elsewhere(Code code);

struct RegistryOptions {
  std::vector<std::string> plugin_dirs;
  std::string state_dir;    // each plugin gets <state_dir>/plugins/<kind>-<name>, mode 0700
  std::string install_dir;  // of the running engine
};

// For `dagger plugin list`.
struct PluginInfo {
  Manifest manifest;
  std::string path, origin;
  std::vector<std::string> serves;  // schemes or class
  bool isolated = false;            // runs in a process of its own
};

class Registry {
 public:
  // log and spawner outlive the registry.
  Registry(RegistryOptions options, Log& log, Spawner& spawner);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // kind: "snapshotter", "executor", "source", "cache", "secret", "network". Throws what load_plugin() throws, and
  // invalid_argument for a second snapshotter or executor, or when two plugins serve one scheme or class and the
  // configuration does not choose.
  void load(std::string_view kind, const PluginChoice& choice);
  // Of several choices the first that works on this machine. Why an earlier one does not goes to the log. A file or
  // settings that would be refused end the search: that is a mistake.
  void load_first(std::string_view kind, const std::vector<PluginChoice>& choices);
  // The same for an object that was made in this program, or speaks with another process.
  void add(LoadedPlugin plugin, const PluginChoice& choice, bool isolated = false);

  // Each throws unsupported, with what is configured and the remedy.
  Snapshotter& snapshotter() const;
  Executor& executor() const;
  Source& source(std::string_view scheme) const;
  Network& network(std::string_view name) const;
  SecretProvider& secret(std::string_view scheme) const;
  const std::vector<CacheStore*>& caches() const noexcept { return caches_; }  // in the configuration's order

  bool has_source(std::string_view scheme) const { return sources_.count(scheme) != 0; }
  std::vector<std::string> source_schemes() const;
  std::vector<std::string> secret_schemes() const;
  std::vector<std::string> network_classes() const;
  std::vector<PluginInfo> list() const { return infos_; }

 private:
  template <class T>
  struct Claim {
    T* plugin;
    bool chosen;  // named in the configuration, not only offered by the plugin
    std::string label;
  };
  template <class T>
  using Claims = std::map<std::string, Claim<T>, std::less<>>;

  template <class T>
  std::vector<std::string> claim(Claims<T>& claims, const char* key, T& plugin, const std::vector<std::string>& offered,
                                 const PluginChoice& choice, const std::string& label);
  void lose(const std::string& label, const std::string& name);
  template <class T>
  T& keep(std::unique_ptr<T> plugin);
  std::unique_ptr<HostServices> make_host(const Manifest& manifest);

  RegistryOptions options_;
  Log& log_;
  Spawner& spawner_;
  std::unique_ptr<isolation::LogReader> logs_;  // of the first isolated plugin and all others
  std::vector<std::unique_ptr<Plugin>> plugins_;
  std::vector<PluginInfo> infos_;
  Snapshotter* snapshotter_ = nullptr;
  Executor* executor_ = nullptr;
  Claims<Source> sources_;
  Claims<Network> networks_;
  Claims<SecretProvider> secrets_;
  std::vector<CacheStore*> caches_;
};

}  // namespace dagger::plugin
