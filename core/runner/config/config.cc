#include "core/runner/config/config.h"

#include <fcntl.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/nearest_name.h"
#include "core/runner/config/toml_reader.h"

namespace dagger::runner {
namespace {

using nlohmann::json;
using plugin::PluginChoice;

constexpr const char* token_variable = "_EXPERIMENTAL_DAGGER_RUNNER_TOKEN";

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

PluginChoice by_default(std::string name) {
  PluginChoice c;
  c.use = std::move(name);
  c.origin = "default";
  return c;
}

std::string env_or(const ConfigContext& context, const std::string& name, const std::string& otherwise) {
  const auto value = context.env(name);
  return value && !value->empty() ? *value : otherwise;
}

Config defaults(const ConfigContext& context) {
  Config c;
  c.plugin_dirs = {context.install_dir + plugin::bundled_plugins};
  c.state_dir = default_state_dir(context);
  c.snapshotter = by_default("overlay");
  c.executor = by_default(context.has_program("crun") ? "crun" : "runc");
  for (const char* name : {"host", "none"}) c.networks[name] = by_default(name);
  c.sources = {by_default("oci")};
  c.secrets = {by_default("env")};
  c.parallel_execs = std::max(1U, context.cores);
  c.parallel_io = std::max(4U, 2 * context.cores);
  return c;
}

// Reads one file into a Config: takes values, notes where they come from, collects problems.
class Reader {
 public:
  Reader(TomlDocument& document, const ConfigContext& context, Config& config)
      : root_(document.root()), context_(context), config_(config) {}

  void read() {
    take(root_, "", "plugin_dirs", config_.plugin_dirs, root_.texts("plugin_dirs"));
    for (const auto& dir : config_.plugin_dirs) absolute(root_, "plugin_dirs", dir);
    take(root_, "", "state_dir", config_.state_dir, root_.text("state_dir"));
    absolute(root_, "state_dir", config_.state_dir);
    take(root_, "", "runner_host", config_.runner_host, root_.text("runner_host"));
    if (!config_.runner_host.empty()) address(root_, "runner_host", config_.runner_host);
    take(root_, "", "default_network", config_.default_network, root_.text("default_network"));
    read_plugins();
    read_listen();
    read_limits();
    read_registries();
    read_rest();
    root_.check_unknown_keys();
    read_environment();
    if (config_.networks.count(config_.default_network) == 0)
      root_.problem("default_network",
                    "there is no [network." + config_.default_network + "]" +
                        plugin::known_names_hint(config_.default_network, network_names(), "networks"));
  }

 private:
  template <class T>
  void take(TomlTable& table, const std::string& section, const char* key, T& to, std::optional<T> value) {
    const auto name = section.empty() ? std::string(key) : section + "." + key;
    config_.origins[name] = value ? table.place(key) : "default";
    if (value) to = std::move(*value);
  }

  void absolute(TomlTable& table, const char* key, const std::string& path) {
    if (path.empty() || path[0] != '/') table.problem(key, "must be an absolute path, found \"" + path + "\"");
  }

  void address(TomlTable& table, const char* key, const std::string& text) {
    const bool unix_path = starts_with(text, "unix:///"), tcp = starts_with(text, "tcp://") && text.rfind(':') > 5;
    if (!unix_path && !tcp)
      table.problem(key, "expected \"unix:///path\" or \"tcp://host:port\", found \"" + text + "\"");
  }

  std::vector<std::string> network_names() const {
    std::vector<std::string> names;
    for (const auto& network : config_.networks) names.push_back(network.first);
    return names;
  }

  plugin::Isolation read_isolation(TomlTable& table) {
    const auto text = table.text("isolation");
    if (!text) return plugin::Isolation::by_place;
    if (*text == "process") return plugin::Isolation::process;
    if (*text != "none") table.problem("isolation", "expected \"process\" or \"none\", found \"" + *text + "\"");
    return plugin::Isolation::none;
  }

  // claims: the key that lists schemes; null where there is none.
  PluginChoice read_choice(TomlTable table, const char* claims) {
    PluginChoice c;
    c.origin = table.place();
    if (auto use = table.text("use"))
      c.use = std::move(*use);
    else
      table.problem("use", "is required: the name of the plugin");
    c.file = table.text("file").value_or("");
    c.sha256 = table.text("sha256").value_or("");
    if (!c.sha256.empty() &&
        (c.sha256.size() != 64 || c.sha256.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos))
      table.problem("sha256", "expected 64 hex digits");
    c.isolation = read_isolation(table);
    if (claims != nullptr) c.claims = table.texts(claims).value_or(std::vector<std::string>());
    c.settings = table.json("settings", c.places).value_or("{}");
    table.check_unknown_keys();
    return c;
  }

  // Of a kind whose plugins run inside the engine.
  PluginChoice read_inside(TomlTable table) {
    auto c = read_choice(table, nullptr);
    if (c.isolation == plugin::Isolation::process)
      table.problem("isolation", "plugins of this kind run inside the engine; remove it, or set \"none\"");
    return c;
  }

  void read_list(const char* key, const char* claims, std::vector<PluginChoice>& list) {
    auto tables = root_.tables(key);
    if (tables.empty()) return;
    list.clear();
    for (auto& table : tables) list.push_back(read_choice(std::move(table), claims));
  }

  void read_plugins() {
    if (auto t = root_.table("snapshotter"); t.present()) config_.snapshotter = read_inside(t);
    if (auto t = root_.table("executor"); t.present()) config_.executor = read_inside(t);
    for (auto& [name, table] : root_.table("network").named_tables())
      config_.networks[name] = read_choice(table, nullptr);
    for (auto& [name, choice] : config_.networks) choice.claims = {name};
    read_list("source", "schemes", config_.sources);
    read_list("secret", "schemes", config_.secrets);
    read_list("cache", nullptr, config_.caches);
  }

  void read_listen() {
    auto t = root_.table("listen");
    auto& l = config_.listen;
    take(t, "listen", "addresses", l.addresses, t.texts("addresses"));
    for (const auto& a : l.addresses) address(t, "addresses", a);
    if (const auto mode = t.text("socket_mode")) {
      if (mode->empty() || mode->size() > 4 || mode->find_first_not_of("01234567") != std::string::npos)
        t.problem("socket_mode", "expected octal digits such as \"0660\", found \"" + *mode + "\"");
      else
        l.socket_mode = static_cast<unsigned>(std::stoul(*mode, nullptr, 8));
      config_.origins["listen.socket_mode"] = t.place("socket_mode");
    }
    take(t, "listen", "socket_group", l.socket_group, t.text("socket_group"));
    take(t, "listen", "token", l.token, t.text("token"));
    if (const auto file = t.text("token_file")) read_token_file(t, *file);
    take(t, "listen", "allow_loopback_without_token", l.allow_loopback_without_token,
         t.boolean("allow_loopback_without_token"));
    t.check_unknown_keys();
  }

  void read_token_file(TomlTable& t, const std::string& file) {
    if (!config_.listen.token.empty()) return t.problem("token_file", "token is set as well; keep one of them");
    try {
      auto token = read_file(file, 4096);
      while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
      if (token.empty()) t.problem("token_file", file + " is empty");
      config_.listen.token = std::move(token);
      config_.origins["listen.token"] = t.place("token_file");
    } catch (const Error& e) {
      t.problem("token_file", e.what());
    }
  }

  void read_limits() {
    auto t = root_.table("parallelism");
    const auto number = [&](const char* key, unsigned& to) {
      const auto value = t.integer(key, 1, 1024);
      take(t, "parallelism", key, to, value ? std::optional(static_cast<unsigned>(*value)) : std::nullopt);
    };
    number("execs", config_.parallel_execs);
    number("io", config_.parallel_io);
    t.check_unknown_keys();
  }

  // Registries are said once, for everything that speaks to registries; they become a setting of the source "oci".
  void read_registries() {
    std::map<std::string, std::string> places;
    const auto text = root_.json("registries", places);
    if (!text) return;
    for (auto& [host, table] : root_.table("registries").named_tables()) {
      RegistryConfig r;
      r.mirrors = table.texts("mirrors").value_or(std::vector<std::string>());
      r.plain_http = table.boolean("plain_http");
      r.ca = table.text("ca").value_or("");
      if (!r.ca.empty()) absolute(table, "ca", r.ca);
      table.check_unknown_keys();
      config_.origins["registries." + host] = table.place();
      config_.registries.emplace(host, std::move(r));
    }
    for (auto& source : config_.sources) {
      if (source.use != "oci") continue;
      auto settings = json::parse(source.settings);
      if (settings.contains("registries"))
        return root_.problem("registries",
                             "the source \"oci\" has registries in its settings as well; keep one of them");
      settings["registries"] = json::parse(*text);
      source.settings = settings.dump();
      for (const auto& [pointer, place] : places) source.places["/registries" + pointer] = place;
    }
  }

  void read_rest() {
    auto runner = root_.table("runner");
    if (const auto text = runner.text("idle_timeout")) {
      config_.idle_timeout = duration(runner, "idle_timeout", *text).value_or(config_.idle_timeout);
      config_.origins["runner.idle_timeout"] = runner.place("idle_timeout");
    }
    runner.check_unknown_keys();
    auto log = root_.table("log");
    take(log, "log", "level", config_.log_level, log.text("level"));
    const std::vector<std::string> levels = {"trace", "debug", "info", "warn", "error", "off"};
    if (std::find(levels.begin(), levels.end(), config_.log_level) == levels.end())
      log.problem("level", "there is no \"" + config_.log_level + "\"" +
                               plugin::known_names_hint(config_.log_level, levels, "levels"));
    take(log, "log", "file", config_.log_file, log.text("file"));
    if (!config_.log_file.empty()) absolute(log, "file", config_.log_file);
    log.check_unknown_keys();
    auto sdk = root_.table("sdk");
    take(sdk, "sdk", "default_version", config_.sdk_version, sdk.text("default_version"));
    sdk.check_unknown_keys();
  }

  static std::optional<std::chrono::seconds> duration(TomlTable& table, const char* key, const std::string& text) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto unit = text.substr(digits);
    const int factor = unit == "s" || text == "0" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
    if (digits == 0 || digits > 6 || factor == 0) {
      table.problem(key, "expected a time such as \"90s\", \"10m\" or \"1h\" (\"0\": never), found \"" + text + "\"");
      return std::nullopt;
    }
    return std::chrono::seconds(std::stol(text.substr(0, digits)) * factor);
  }

  void read_environment() {
    const auto from_env = [&](const char* variable, const char* key, std::string& to) {
      if (auto value = context_.env(variable); value && !value->empty()) {
        to = std::move(*value);
        config_.origins[key] = std::string("$") + variable;
      }
    };
    from_env("DAGGER_STATE_DIR", "state_dir", config_.state_dir);
    from_env(token_variable, "listen.token", config_.listen.token);
    if (config_.state_dir.empty() || config_.state_dir[0] != '/') {
      throw Error(Code::invalid_argument, config_.origins["state_dir"] +
                                              ": the state directory must be an absolute path, found \"" +
                                              config_.state_dir + "\"");
    }
  }

  TomlTable root_;
  const ConfigContext& context_;
  Config& config_;
};

// The first file of the search order. One that is asked for need not exist: reading it says so.
std::string find_config(const ConfigContext& context) {
  if (!context.file.empty()) return context.file;
  if (auto file = env_or(context, "DAGGER_CONFIG", ""); !file.empty()) return file;
  const auto home = env_or(context, "HOME", "");
  const auto user = env_or(context, "XDG_CONFIG_HOME", home.empty() ? "" : home + "/.config");
  for (const auto& file :
       {std::string("/etc/dagger/dagger.toml"), user.empty() ? std::string() : user + "/dagger/dagger.toml"})
    if (!file.empty() && exists(file)) return file;
  return {};
}

ReadConfig read_text(std::optional<std::string_view> text, const std::string& name, const ConfigContext& context) {
  ReadConfig read{defaults(context), {}};
  if (text) read.config.file = name;
  TomlDocument document(text, name);
  Reader(document, context, read.config).read();
  read.problems = document.problems();
  return read;
}

Config without_problems(ReadConfig read) {
  if (read.problems.empty()) return std::move(read.config);
  std::string all;
  for (const auto& problem : read.problems) all += (all.empty() ? "" : "\n") + problem;
  throw Error(Code::invalid_argument, all);
}

}  // namespace

std::string default_state_dir(const ConfigContext& context) {
  if (context.uid == 0) return "/var/lib/dagger";
  return env_or(context, "XDG_STATE_HOME", env_or(context, "HOME", "") + "/.local/state") + "/dagger";
}

Config parse_config(std::optional<std::string_view> text, const std::string& name, const ConfigContext& context) {
  return without_problems(read_text(text, name, context));
}

ReadConfig read_config(const ConfigContext& context) {
  const auto file = find_config(context);
  if (file.empty()) return read_text(std::nullopt, "", context);
  try {
    const auto fd = open_file(file, O_RDONLY | O_NONBLOCK);
    plugin::check_trusted_file(fd.get(), file);  // it names code that is loaded
    return read_text(read_all(fd.get(), 1 << 20), file, context);
  } catch (const Error& e) {
    throw Error(e).in("configuration file " + file);
  }
}

Config load_config(const ConfigContext& context) { return without_problems(read_config(context)); }

}  // namespace dagger::runner
