// core/runner/config/config.h — the operator's choices as plain values.
//
// One TOML file names the plugins per kind and their settings, where things live, who may connect and how much runs at
// once. Without a file the defaults work. TOML because it is written and commented by people, and its parser gives line
// and column for every value. Files are not merged: the first that exists counts, so that one place tells the whole
// truth. Pure values; reading happens in load_config(). Errors: Error{invalid_argument} with every problem, each as
// "file:line:column: ...".
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plugin/loader.h"

namespace dagger::runner {

struct ListenConfig {
  std::vector<std::string> addresses;  // "unix:///path", "tcp://host:port"; empty: the on-demand socket
  unsigned socket_mode = 0600;
  std::string socket_group;  // empty: as created
  std::string token;         // for tcp; from token, token_file or $_EXPERIMENTAL_DAGGER_RUNNER_TOKEN
  std::string token_file;    // where token comes from; else empty
  bool allow_loopback_without_token = false;

  bool operator==(const ListenConfig&) const = default;
};

struct RegistryConfig {
  std::vector<std::string> mirrors;
  std::optional<bool> plain_http;  // not said: http for loopback only
  std::string ca;                  // file with PEM certificates

  bool operator==(const RegistryConfig&) const = default;
};

struct Config {
  std::string file;         // that was read; empty: none
  std::string file_origin;  // why that one: "--config", "$DAGGER_CONFIG"; empty: it is at one of the usual places

  std::vector<std::string> plugin_dirs;
  std::string state_dir;
  std::string runner_host;  // where clients find a runner ("unix://...", "tcp://..."); empty: one is started on demand

  std::vector<plugin::PluginChoice> snapshotter, executor;  // the first that works on this host; never empty
  std::map<std::string, plugin::PluginChoice> networks;     // by class
  std::string default_network = "host";
  std::vector<plugin::PluginChoice> sources, caches, secrets;

  ListenConfig listen;
  unsigned parallel_execs = 0, parallel_io = 0;  // never 0 after load_config()
  std::map<std::string, RegistryConfig>
      registries;                          // by "host[:port]"; already part of the settings of the source "oci"
  std::chrono::seconds idle_timeout{600};  // of an on-demand runner; 0: never ends by itself
  std::string log_level = "info", log_file;
  std::string sdk_version;  // assumed of clients that do not say theirs; empty: the superset

  // Key ("listen.token") -> "file:line:column", "$DAGGER_STATE_DIR", "--listen". Not in it: the default.
  std::map<std::string, std::string> origins;

  bool operator==(const Config&) const = default;
};

// Every plugin that the configuration names, with its kind.
struct NamedPlugin {
  std::string_view kind;
  const plugin::PluginChoice* choice;  // in the configuration
  unsigned rank = 1, of = 1;           // in a list of which the first that works is taken
};
std::vector<NamedPlugin> named_plugins(const Config& config);

// What reading the configuration depends on, so that tests give their own.
struct ConfigContext {
  std::string file;         // of --config; empty: none
  std::string install_dir;  // of this engine: plugins are in <install_dir>/lib/dagger/plugins/<API major or 1>
  std::function<std::optional<std::string>(const std::string&)> env;
  unsigned uid = 0;
  unsigned cores = 1;
};
ConfigContext process_config_context(std::string file, std::string install_dir);

// Search order: --config, $DAGGER_CONFIG, /etc/dagger/dagger.toml, $XDG_CONFIG_HOME/dagger/dagger.toml (~/.config/...):
// what is said explicitly wins, then the operator of the machine (the file names code that is loaded), then the user.
// $DAGGER_STATE_DIR and others beat the file. A file that was named must exist. [blocking]
Config load_config(const ConfigContext& context);

// What could be read, and all that is wrong with it, so that the plugins can be looked at as well. Throws only where
// there is no text to read.
struct ReadConfig {
  Config config;
  std::vector<std::string> problems;  // "file:line:column: ...", in the order of the file
};
ReadConfig read_config(const ConfigContext& context);

// text: of a file called name; std::nullopt: the defaults. Pure but for token_file.
Config parse_config(std::optional<std::string_view> text, const std::string& name, const ConfigContext& context);

// The effective configuration as TOML that can be loaded again, but for secrets, which are masked. origins: each value
// with a comment that says where it comes from.
std::string show_config(const Config& config, bool origins);

// A file with every setting, its default and what it is for, all of it commented; the reference of
// docs/configuration.md.
std::string example_config(const ConfigContext& context);

}  // namespace dagger::runner
