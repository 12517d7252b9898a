#include "core/runner/config/config.h"

#include <fcntl.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/nearest_name.h"
#include "core/runner/config/keys.h"
#include "core/runner/config/toml_reader.h"

namespace dagger::runner {
namespace {

using nlohmann::json;
using plugin::PluginChoice;

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

PluginChoice named(std::string name, std::string origin) {
  PluginChoice c;
  c.use = std::move(name);
  c.origin = std::move(origin);
  return c;
}

PluginChoice by_default(std::string name) { return named(std::move(name), "default"); }

std::string env_or(const ConfigContext& context, const std::string& name, const std::string& otherwise) {
  const auto value = context.env(name);
  return value && !value->empty() ? *value : otherwise;
}

std::string default_state_dir(const ConfigContext& context) {
  if (context.uid == 0) return "/var/lib/dagger";
  return env_or(context, "XDG_STATE_HOME", env_or(context, "HOME", "") + "/.local/state") + "/dagger";
}

Config defaults(const ConfigContext& context) {
  Config c;
  c.plugin_dirs = {context.install_dir + plugin::bundled_plugins};
  c.state_dir = default_state_dir(context);
  c.snapshotter = {by_default("overlay")};
  c.executor = {by_default("crun"), by_default("runc")};
  for (const char* name : {"host", "none"}) c.networks[name] = by_default(name);
  c.sources = {by_default("oci")};
  c.secrets = {by_default("env")};
  c.parallel_execs = std::max(1U, context.cores);
  c.parallel_io = std::max(4U, 2 * context.cores);
  return c;
}

bool is_absolute(const std::string& path) { return starts_with(path, "/"); }

// ---- one value; a bad one is a problem, and nothing ----

// What is wrong with a text; empty: nothing.
std::string complaint(Form form, const std::string& text) {
  const auto found = ", found \"" + text + "\"";
  if (form == Form::absolute_path && !is_absolute(text)) return "must be an absolute path" + found;
  if (form == Form::address && !starts_with(text, "unix:///") && !(starts_with(text, "tcp://") && text.rfind(':') > 5))
    return "expected \"unix:///path\" or \"tcp://host:port\"" + found;
  if (form == Form::sha256 &&
      (text.size() != 64 || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos))
    return "expected 64 hex digits" + found;
  if (form == Form::level) {
    const std::vector<std::string> levels = {"trace", "debug", "info", "warn", "error", "off"};
    if (std::find(levels.begin(), levels.end(), text) == levels.end())
      return "there is no \"" + text + "\"" + plugin::known_names_hint(text, levels, "levels");
  }
  return {};
}

bool fits(TomlTable& table, const char* key, Form form, const std::string& text) {
  const auto wrong = complaint(form, text);
  if (!wrong.empty()) table.problem(key, wrong);
  return wrong.empty();
}

void read_value(TomlTable& table, const char* key, Form form, std::optional<std::string>& to) {
  if (auto text = table.text(key); text && fits(table, key, form, *text)) to = std::move(text);
}

void read_value(TomlTable& table, const char* key, Form form, std::optional<std::vector<std::string>>& to) {
  auto texts = table.texts(key);
  if (texts && std::all_of(texts->begin(), texts->end(), [&](const auto& t) { return fits(table, key, form, t); }))
    to = std::move(texts);
}

void read_value(TomlTable& table, const char* key, Form, std::optional<bool>& to) { to = table.boolean(key); }
void read_value(TomlTable& table, const char* key, Form, std::optional<std::optional<bool>>& to) {
  if (const auto value = table.boolean(key)) to = value;
}

void read_value(TomlTable& table, const char* key, Form form, std::optional<unsigned>& to) {
  if (form != Form::octal) {
    if (const auto value = table.integer(key, 1, 1024)) to = static_cast<unsigned>(*value);
  } else if (const auto mode = table.text(key)) {
    if (mode->empty() || mode->size() > 4 || mode->find_first_not_of("01234567") != std::string::npos)
      table.problem(key, "expected octal digits such as \"0660\", found \"" + *mode + "\"");
    else
      to = static_cast<unsigned>(std::stoul(*mode, nullptr, 8));
  }
}

void read_value(TomlTable& table, const char* key, Form, std::optional<std::chrono::seconds>& to) {
  const auto text = table.text(key);
  if (!text) return;
  const auto digits = std::min(text->find_first_not_of("0123456789"), text->size());
  const auto unit = text->substr(digits);
  const int factor = unit == "s" || *text == "0" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (digits == 0 || digits > 6 || factor == 0)
    table.problem(key, "expected a time such as \"90s\", \"10m\" or \"1h\" (\"0\": never), found \"" + *text + "\"");
  else
    to = std::chrono::seconds(std::stol(text->substr(0, digits)) * factor);
}

void read_value(TomlTable& table, const char* key, Form, std::optional<plugin::Isolation>& to) {
  const auto text = table.text(key);
  if (!text) return;
  if (*text == "process" || *text == "none")
    to = *text == "none" ? plugin::Isolation::none : plugin::Isolation::process;
  else
    table.problem(key, "expected \"process\" or \"none\", found \"" + *text + "\"");
}

// Into its owner; where it was written goes to origins, under prefix and the key's path.
template <class Owner>
void read_key(TomlTable& table, const Key<Owner>& key, Owner& owner, std::map<std::string, std::string>& origins,
              const std::string& prefix = "") {
  std::visit(
      [&](const auto at) {
        std::optional<std::remove_reference_t<decltype(at(owner))>> value;
        read_value(table, key.name, key.form, value);
        if (!value) return;
        at(owner) = std::move(*value);
        origins[prefix + key.path()] = table.place(key.name);
      },
      key.at);
}

// Reads one file into a Config: takes values, notes where they come from, collects problems.
class Reader {
 public:
  Reader(TomlDocument& document, const ConfigContext& context, Config& config)
      : document_(document), root_(document.root()), context_(context), config_(config) {}

  void read() {
    read_sections();
    read_plugins();
    read_registries();
    root_.check_unknown_keys();
    read_environment();
    check_default_network();
  }

 private:
  void read_sections() {
    std::map<std::string, TomlTable> sections;
    for (const auto& key : config_keys()) {
      auto table =
          *key.section == '\0' ? root_ : sections.try_emplace(key.section, root_.table(key.section)).first->second;
      read_key(table, key, config_, config_.origins);
    }
    for (auto& [name, table] : sections) table.check_unknown_keys();
    if (!config_.listen.token_file.empty()) read_token_file(sections.at("listen"));
  }

  PluginChoice read_listed(TomlTable table, const Kind& kind) {
    auto c = read_choice(table, kind.claims);
    if (kind.chain && c.isolation == plugin::Isolation::process)
      table.problem("isolation", "plugins of this kind run inside the engine; remove it, or set \"none\"");
    return c;
  }

  PluginChoice read_choice(TomlTable table, bool claims) {
    PluginChoice c;
    c.origin = table.place();
    for (const auto& key : choice_keys())
      if (claims || key.name != std::string_view("schemes")) read_key(table, key, c, c.places);
    if (c.use.empty() && (c.places.count("use") != 0 || table.place("use").empty()))
      table.problem("use", "is required: the name of the plugin");
    c.settings = table.json("settings", c.places).value_or("{}");
    table.check_unknown_keys();
    return c;
  }

  void read_plugins() {
    for (const auto& kind : kinds()) {
      const auto entries = root_.entries(kind.name);
      if (!entries) continue;
      auto& choices = config_.*kind.choices;
      choices.clear();
      for (const auto& entry : *entries)
        choices.push_back(entry.name.empty() ? read_listed(entry.table, kind) : named(entry.name, entry.place));
      if (choices.empty() && kind.chain) root_.problem(kind.name, "names no plugin; at least one is needed");
    }
    for (auto& [name, table] : root_.table("network").named_tables())
      config_.networks[name] = read_choice(table, false);
    for (auto& [name, choice] : config_.networks) choice.claims = {name};
  }

  void read_token_file(TomlTable& t) {
    auto& listen = config_.listen;
    if (!listen.token.empty()) return t.problem("token_file", "token is set as well; keep one of them");
    try {
      listen.token = read_file(listen.token_file, 4096);
      while (!listen.token.empty() && (listen.token.back() == '\n' || listen.token.back() == '\r'))
        listen.token.pop_back();
      if (listen.token.empty()) t.problem("token_file", listen.token_file + " is empty");
    } catch (const Error& e) {
      t.problem("token_file", e.what());
    }
  }

  // Registries are said once, for everything that speaks to registries; they become a setting of the source "oci".
  void read_registries() {
    std::map<std::string, std::string> places;
    const auto text = root_.json("registries", places);
    if (!text) return;
    for (auto& [host, table] : root_.table("registries").named_tables()) {
      auto& registry = config_.registries[host];
      const auto name = "registries." + host;
      config_.origins[name] = table.place();
      for (const auto& key : registry_keys()) read_key(table, key, registry, config_.origins, name + ".");
      table.check_unknown_keys();
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

  void read_environment() {
    const auto from_env = [&](const char* variable, const char* key, std::string& to) {
      auto value = env_or(context_, variable, "");
      if (value.empty()) return false;
      to = std::move(value);
      config_.origins[key] = std::string("$") + variable;
      return true;
    };
    if (from_env("DAGGER_STATE_DIR", "state_dir", config_.state_dir) && !is_absolute(config_.state_dir))
      document_.problem_elsewhere("$DAGGER_STATE_DIR: must be an absolute path, found \"" + config_.state_dir + "\"");
    from_env("_EXPERIMENTAL_DAGGER_RUNNER_HOST", "runner_host", config_.runner_host);
    if (from_env("_EXPERIMENTAL_DAGGER_RUNNER_TOKEN", "listen.token", config_.listen.token))
      config_.listen.token_file.clear();
  }

  void check_default_network() {
    if (config_.networks.count(config_.default_network) != 0) return;
    std::vector<std::string> names;
    for (const auto& network : config_.networks) names.push_back(network.first);
    root_.problem("default_network", "there is no [network." + config_.default_network + "]" +
                                         plugin::known_names_hint(config_.default_network, names, "networks"));
  }

  TomlDocument& document_;
  TomlTable root_;
  const ConfigContext& context_;
  Config& config_;
};

struct Place {
  std::string file, origin;
};

// The first file of the search order. One that is asked for need not exist: reading it says so.
Place find_config(const ConfigContext& context) {
  if (!context.file.empty()) return {context.file, "--config"};
  if (auto file = env_or(context, "DAGGER_CONFIG", ""); !file.empty()) return {file, "$DAGGER_CONFIG"};
  const auto home = env_or(context, "HOME", "");
  const auto user = env_or(context, "XDG_CONFIG_HOME", home.empty() ? "" : home + "/.config");
  for (const auto& file :
       {std::string("/etc/dagger/dagger.toml"), user.empty() ? std::string() : user + "/dagger/dagger.toml"})
    if (!file.empty() && exists(file)) return {file, ""};
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

Config parse_config(std::optional<std::string_view> text, const std::string& name, const ConfigContext& context) {
  return without_problems(read_text(text, name, context));
}

ReadConfig read_config(const ConfigContext& context) {
  const auto [file, origin] = find_config(context);
  if (file.empty()) return read_text(std::nullopt, "", context);
  try {
    const auto fd = open_file(file, O_RDONLY | O_NONBLOCK);
    plugin::check_trusted_file(fd.get(), file);  // it names code that is loaded
    auto read = read_text(read_all(fd.get(), 1 << 20), file, context);
    read.config.file_origin = origin;
    return read;
  } catch (const Error& e) {
    throw Error(e).in("configuration file " + file);
  }
}

std::vector<NamedPlugin> named_plugins(const Config& config) {
  std::vector<NamedPlugin> all;
  for (const auto& kind : kinds()) {
    const auto& choices = config.*kind.choices;
    const auto of = kind.chain ? static_cast<unsigned>(choices.size()) : 1U;
    for (unsigned i = 0; i < choices.size(); ++i) all.push_back({kind.name, &choices[i], kind.chain ? i + 1 : 1, of});
  }
  for (const auto& [name, choice] : config.networks) all.push_back({"network", &choice});
  return all;
}

Config load_config(const ConfigContext& context) { return without_problems(read_config(context)); }

}  // namespace dagger::runner
