#include "core/runner/config/keys.h"

#include <array>

namespace dagger::runner {
namespace {

using plugin::PluginChoice;

// at<&Config::listen, &ListenConfig::token> is a function from the owner to the member.
template <auto... members>
constexpr auto at = [](auto& owner) -> auto& { return (owner.*....*members); };

}  // namespace

std::span<const Key<Config>> config_keys() {
  static constexpr Key<Config> keys[] = {
      {"", "plugin_dirs", "Where plugin files are looked for, in this order. Default: beside the program.", "",
       Form::absolute_path, at<&Config::plugin_dirs>},
      {"", "state_dir",
       "All state: layers, records, recipes. Default: /var/lib/dagger for root, else $XDG_STATE_HOME/dagger "
       "(~/.local/state/dagger). $DAGGER_STATE_DIR beats it.",
       "", Form::absolute_path, at<&Config::state_dir>},
      {"", "runner_host",
       "Where clients find a runner: \"unix:///path\" or \"tcp://host:port\". Default: none, one is started on demand. "
       "$_EXPERIMENTAL_DAGGER_RUNNER_HOST beats it.",
       R"("unix:///run/dagger/dagger.sock")", Form::address, at<&Config::runner_host>},
      {"", "default_network", "The network class of execs that ask for none in particular.", "", Form::any,
       at<&Config::default_network>},

      {"listen", "addresses",
       "Where `dagger runner` listens. Default: nowhere; an on-demand runner has a socket of its own.",
       R"(["unix:///run/dagger/dagger.sock", "tcp://127.0.0.1:8080"])", Form::address,
       at<&Config::listen, &ListenConfig::addresses>},
      {"listen", "socket_mode", "Permissions of a unix socket, octal.", "", Form::octal,
       at<&Config::listen, &ListenConfig::socket_mode>},
      {"listen", "socket_group", "Group of a unix socket. Default: that of the process.", R"("dagger")", Form::any,
       at<&Config::listen, &ListenConfig::socket_group>},
      {"listen", "token",
       "What clients must know on tcp; on unix sockets the permissions decide. Default: none, and then nobody may "
       "connect by tcp. $_EXPERIMENTAL_DAGGER_RUNNER_TOKEN beats it.",
       R"("a long random text")", Form::secret, at<&Config::listen, &ListenConfig::token>},
      {"listen", "token_file", "a file that has the token, instead of token.", nullptr, Form::any,
       at<&Config::listen, &ListenConfig::token_file>},
      {"listen", "allow_loopback_without_token", "Whether clients of this machine may connect by tcp without a token.",
       "", Form::any, at<&Config::listen, &ListenConfig::allow_loopback_without_token>},

      {"parallelism", "execs", "Containers at once. Default: the number of cores.", "", Form::count,
       at<&Config::parallel_execs>},
      {"parallelism", "io",
       "Blocking operations at once: downloads, file system. Default: twice the number of cores, at least 4.", "",
       Form::count, at<&Config::parallel_io>},

      {"runner", "idle_timeout", "An on-demand runner ends after this time without clients; \"0\": never.", "",
       Form::any, at<&Config::idle_timeout>},

      {"log", "level", "What is told: trace, debug, info, warn, error or off.", "", Form::level,
       at<&Config::log_level>},
      {"log", "file", "Where it is told. Default: stderr; runner.log in state_dir for an on-demand runner.",
       R"("/var/log/dagger.log")", Form::absolute_path, at<&Config::log_file>},

      {"sdk", "default_version", "Assumed of clients that do not say theirs. Default: an API with everything.",
       R"("0.9.0")", Form::any, at<&Config::sdk_version>},
  };
  return keys;
}

std::span<const Key<PluginChoice>> choice_keys() {
  static constexpr Key<PluginChoice> keys[] = {
      {"", "use", "the plugin's name; `dagger plugin list` shows those that are there.", nullptr, Form::any,
       at<&PluginChoice::use>},
      {"", "file", "its file. Default: <kind>-<name>.so in the first of plugin_dirs that has it.", nullptr, Form::any,
       at<&PluginChoice::file>},
      {"", "sha256", "the digest of the file, 64 hex digits. Default: not checked.", nullptr, Form::sha256,
       at<&PluginChoice::sha256>},
      {"", "schemes", "of a source or a secret provider: what it shall serve. Default: all that it can.", nullptr,
       Form::any, at<&PluginChoice::claims>},
      {"", "isolation",
       "\"process\", in one of its own, or \"none\", inside the engine (always so for snapshotters and executors). "
       "Default: "
       "\"none\" for the plugins that came with the engine, \"process\" for all others.",
       nullptr, Form::any, at<&PluginChoice::isolation>},
  };
  return keys;
}

std::span<const Key<RegistryConfig>> registry_keys() {
  static constexpr Key<RegistryConfig> keys[] = {
      {"", "mirrors", "Registries that are asked first, in this order.", R"(["mirror.example:5000"])", Form::any,
       at<&RegistryConfig::mirrors>},
      {"", "plain_http", "http instead of https. Default: true for loopback addresses, false for all others.", "true",
       Form::any, at<&RegistryConfig::plain_http>},
      {"", "ca", "A file with PEM certificates. Default: those of the system.", R"("/etc/ssl/lab.pem")",
       Form::absolute_path, at<&RegistryConfig::ca>},
  };
  return keys;
}

std::span<const Kind> kinds() {
  static constexpr Kind all[] = {
      {"snapshotter",
       "How root directories are made of layers: \"overlay\", or \"fuse\" where the kernel has none; both read and "
       "write the same state directory. Of several, the first that works on this machine is taken.",
       nullptr, &Config::snapshotter, true, false},
      {"executor", "What runs containers. Of several, the first that works on this machine is taken.", nullptr,
       &Config::executor, true, false},
      {"source", "Where images and trees come from, by scheme.", nullptr, &Config::sources, false, true},
      {"secret", "What answers secret URIs, by scheme, on the client's side.", nullptr, &Config::secrets, false, true},
      {"cache", "Tiers behind the local store, asked in this order. Default: none. For example:",
       "use = \"local\"\nsettings = { path = \"/srv/dagger-cache\" }", &Config::caches, false, false},
  };
  return all;
}

}  // namespace dagger::runner
