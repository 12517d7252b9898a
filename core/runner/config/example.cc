#include "core/runner/config/toml_writer.h"

namespace dagger::runner {
namespace {

constexpr std::size_t width = 100;

constexpr const char* introduction =
    "Settings of dagger, each with its default, or an example where the default is nothing. Everything is commented "
    "out; remove the mark in front of a setting, and of the [table] above it, to change it. `dagger config check` "
    "finds "
    "mistakes, `dagger config show --origin` tells what is in effect and why.";

// Words as comment lines. indent: of all lines but the first.
std::string comment(const std::string& text, const std::string& indent = "") {
  std::string out, line = "#";
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    if (line.size() + 1 + end - at > width) {
      out += line + "\n";
      line = "#" + indent;
    }
    line += " " + text.substr(at, end - at);
    at = end + 1;
  }
  return out + line + "\n";
}

// Lines of TOML, each behind a mark.
std::string marked(const std::string& toml) {
  std::string out = "#";
  for (const char c : toml) out += c == '\n' ? std::string("\n#") : std::string(1, c);
  return out + "\n";
}

template <class Owner>
std::string example_of(const Key<Owner>& key, Owner& defaults) {
  if (key.sample == nullptr) return comment(key.name + std::string(": ") + key.about, "  ");
  const bool none = *key.sample != '\0';
  return comment(key.about + std::string(none ? " For example:" : "")) +
         marked(key.name + std::string(" = ") + (none ? key.sample : value_of(key, defaults)));
}

std::string keys_of(Config& defaults, bool top) {
  std::string out;
  std::string_view section;
  for (const auto& key : config_keys()) {
    if ((*key.section == '\0') != top) continue;
    out += "\n";
    if (section != key.section) out += marked("[" + std::string(key.section) + "]");
    section = key.section;
    out += example_of(key, defaults);
  }
  return out;
}

std::string plugins_of(Config& defaults) {
  plugin::PluginChoice none;
  std::string out = "\n" + comment(
                               "Plugins. A table names one; settings are checked before any of its code runs. "
                               "snapshotter = [\"overlay\", \"fuse\"] is short for two tables that have only use.");
  for (const auto& key : choice_keys()) out += example_of(key, none);
  out += comment("settings: a table with what the plugin can be told; `dagger plugin show NAME` lists it.", "  ");
  for (const auto& kind : kinds()) {
    out += "\n" + comment(kind.about);
    const auto header = (kind.chain && (defaults.*kind.choices).size() == 1 ? "[" + std::string(kind.name) + "]"
                                                                            : "[[" + std::string(kind.name) + "]]") +
                        "\n";
    if (kind.sample != nullptr) out += marked(header + kind.sample);
    for (const auto& choice : defaults.*kind.choices) out += marked(header + "use = " + toml_text(choice.use));
  }
  out += "\n" + comment("What connects containers, by class. These two are there by default.");
  for (const auto& [name, network] : defaults.networks)
    out += marked("[network." + toml_key(name) + "]\nuse = " + toml_text(network.use));
  return out;
}

}  // namespace

std::string example_config(const ConfigContext& context) {
  auto defaults = parse_config(std::nullopt, "", context);
  RegistryConfig registry;
  auto out = comment(introduction) + keys_of(defaults, true) + plugins_of(defaults);
  out += "\n" + comment(
                    "Registries that need something special, by host[:port] (\"docker.io\" for Docker Hub); a "
                    "setting of the source \"oci\". Default: none. For example:");
  out += marked("[registries.\"registry.lab:5000\"]");
  for (const auto& key : registry_keys()) out += example_of(key, registry);
  return out + keys_of(defaults, false);
}

}  // namespace dagger::runner
