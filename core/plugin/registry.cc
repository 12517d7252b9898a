#include "core/plugin/registry.h"

#include <algorithm>

#include "core/base/fs.h"
#include "core/plugin/isolation/isolate.h"

namespace dagger::plugin {
namespace {

template <class Map>
std::vector<std::string> names(const Map& map) {
  std::vector<std::string> all;
  all.reserve(map.size());
  for (const auto& item : map) all.push_back(item.first);
  return all;
}

std::string list_text(const std::vector<std::string>& all) {
  if (all.empty()) return "none";
  std::string text;
  for (const auto& name : all) text += (text.empty() ? "" : ", ") + name;
  return text;
}

template <class Map>
auto& find(const Map& map, std::string_view key, const std::string& what, const std::string& section) {
  const auto found = map.find(key);
  if (found != map.end()) return *found->second.plugin;
  throw Error(Code::unsupported, "no " + what + " '" + std::string(key) +
                                     "' is configured (configured: " + list_text(names(map)) +
                                     "); add a plugin for it to " + section + " of the configuration");
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

bool works_elsewhere(Code code) {
  return code == Code::unsupported || code == Code::permission_denied || code == Code::not_found ||
         code == Code::unavailable;
}

Registry::Registry(RegistryOptions options, Log& log, Spawner& spawner)
    : options_(std::move(options)), log_(log), spawner_(spawner) {}

Registry::~Registry() {
  while (!plugins_.empty()) plugins_.pop_back();
}

// Two plugins of one kind and name have a directory each: the second gets "-2".
std::unique_ptr<HostServices> Registry::make_host(const Manifest& manifest) {
  const auto same = std::count_if(infos_.begin(), infos_.end(), [&](const PluginInfo& i) {
    return i.manifest.kind == manifest.kind && i.manifest.name == manifest.name;
  });
  auto dir = options_.state_dir + "/plugins/" + manifest.kind + "-" + manifest.name +
             (same == 0 ? "" : "-" + std::to_string(same + 1));
  make_dirs(dir, 0700);
  auto write = [this, label = manifest.label()](LogLevel level, std::string_view line) {
    log_.write(to_level(level), label + ": " + std::string(line));
  };
  return std::make_unique<HostServices>(std::move(dir), options_.install_dir, std::move(write), spawner_);
}

void Registry::load(std::string_view kind, const PluginChoice& choice) {
  const auto file = find_plugin_file(options_.plugin_dirs, kind, choice);
  const MakeHost make = [this](const Manifest& m) { return make_host(m); };
  if (!isolation::is_isolated(kind, file, choice, options_.install_dir))
    return add(load_plugin(file, kind, choice, make), choice);
  if (!logs_) logs_ = std::make_unique<isolation::LogReader>(log_);
  add(isolation::load_isolated(file, kind, choice, make, spawner_, *logs_), choice, true);
}

void Registry::load_first(std::string_view kind, const std::vector<PluginChoice>& choices) {
  if (choices.size() == 1) return load(kind, choices.front());
  std::string reasons;
  for (const auto& choice : choices) {
    check_plugin_file(find_plugin_file(options_.plugin_dirs, kind, choice), kind, choice);
    try {
      load(kind, choice);
      return log_.info("takes the " + infos_.back().manifest.label());
    } catch (const Error& e) {
      if (!works_elsewhere(e.code())) throw;
      log_.warn(std::string(kind) + " '" + choice.use + "' does not work here: " + e.what());
      reasons += "\n" + std::string(e.what());
    }
  }
  throw Error(Code::unsupported, "no " + std::string(kind) + " of the configuration works on this machine:" + reasons);
}

template <class T>
T& Registry::keep(std::unique_ptr<T> plugin) {
  T& kept = *plugin;
  plugins_.push_back(std::move(plugin));
  return kept;
}

// The plugin called label serves name no longer: another one was chosen for it.
void Registry::lose(const std::string& label, const std::string& name) {
  for (auto& info : infos_)
    if (info.manifest.label() == label) std::erase(info.serves, name);
}

// key: what the configuration calls the list of claims.
template <class T>
std::vector<std::string> Registry::claim(Claims<T>& claims, const char* key, T& plugin,
                                         const std::vector<std::string>& offered, const PluginChoice& choice,
                                         const std::string& label) {
  const bool chosen = !choice.claims.empty();
  for (const auto& name : choice.claims) {
    if (!contains(offered, name)) {
      throw Error(Code::invalid_argument, label + " does not serve '" + name + "', it serves " + list_text(offered) +
                                              "; correct " + key +
                                              (choice.origin.empty() ? "" : " at " + choice.origin));
    }
  }
  std::vector<std::string> served;
  for (const auto& name : chosen ? choice.claims : offered) {
    const auto [at, added] = claims.try_emplace(name, Claim<T>{&plugin, chosen, label});
    if (!added && at->second.chosen == chosen) {
      throw Error(Code::invalid_argument, "both " + at->second.label + " and " + label + " serve '" + name +
                                              "'; choose one of them with " + key + " = [\"" + name +
                                              "\"] in the configuration");
    }
    if (!added && !chosen) continue;
    if (!added) lose(at->second.label, name);
    at->second = Claim<T>{&plugin, chosen, label};
    served.push_back(name);
  }
  return served;
}

void Registry::add(LoadedPlugin plugin, const PluginChoice& choice, bool isolated) {
  PluginInfo info{plugin.manifest, plugin.path, choice.origin, {}, isolated};
  const auto& kind = info.manifest.kind;
  const auto label = info.manifest.label();
  const auto only_one = [&](const void* other) {
    if (other != nullptr)
      throw Error(Code::invalid_argument, label + ": there is a " + kind + " already; configure one");
  };
  if (kind == Snapshotter::kind) {
    only_one(snapshotter_);
    snapshotter_ = &keep(guard_snapshotter(std::move(plugin)));
  } else if (kind == Executor::kind) {
    only_one(executor_);
    executor_ = &keep(guard_executor(std::move(plugin)));
  } else if (kind == Source::kind) {
    auto& source = keep(guard_source(std::move(plugin)));
    info.serves = claim(sources_, "schemes", source, source.schemes(), choice, label);
  } else if (kind == SecretProvider::kind) {
    auto& secret = keep(guard_secret_provider(std::move(plugin)));
    info.serves = claim(secrets_, "schemes", secret, secret.schemes(), choice, label);
  } else if (kind == Network::kind) {
    auto& network = keep(guard_network(std::move(plugin)));
    // The configuration maps classes to plugins, so a class that it names needs no agreement of the plugin.
    info.serves = claim(networks_, "classes", network,
                        choice.claims.empty() ? std::vector{network.network_class()} : choice.claims, choice, label);
  } else if (kind == CacheStore::kind) {
    caches_.push_back(&keep(guard_cache_store(std::move(plugin))));
  } else {
    throw Error(Code::unsupported, label + ": this engine has no plugins of kind '" + kind + "'");
  }
  infos_.push_back(std::move(info));
}

Snapshotter& Registry::snapshotter() const {
  if (snapshotter_ == nullptr)
    throw Error(Code::unsupported, "no snapshotter is configured; add [snapshotter] to the configuration");
  return *snapshotter_;
}

Executor& Registry::executor() const {
  if (executor_ == nullptr)
    throw Error(Code::unsupported, "no executor is configured; add [executor] to the configuration");
  return *executor_;
}

Source& Registry::source(std::string_view scheme) const {
  return find(sources_, scheme, "source for scheme", "[[source]]");
}
Network& Registry::network(std::string_view name) const {
  return find(networks_, name, "network of class", "[network]");
}
SecretProvider& Registry::secret(std::string_view scheme) const {
  return find(secrets_, scheme, "secret provider for scheme", "[[secret]]");
}
std::vector<std::string> Registry::source_schemes() const { return names(sources_); }
std::vector<std::string> Registry::secret_schemes() const { return names(secrets_); }
std::vector<std::string> Registry::network_classes() const { return names(networks_); }

}  // namespace dagger::plugin
