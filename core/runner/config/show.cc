#include <nlohmann/json.hpp>

#include "core/runner/config/toml_writer.h"

namespace dagger::runner {
namespace {

using nlohmann::json;
using plugin::PluginChoice;

class Writer {
 public:
  Writer(const Config& config, bool origins) : config_(config), origins_(origins) {}

  void say(const std::string& text, const std::string& origin) {
    out_ += text + (origins_ ? "  # " + origin : "") + "\n";
  }
  void header(const std::string& text, const std::string& origin) {
    out_ += "\n";
    say(text, origin);
  }
  // One without a place of its own.
  void section(const std::string& name) { out_ += "\n[" + name + "]\n"; }

  void line(const std::string& key, const std::string& value, const std::string& path) {
    if (!value.empty()) say(key + " = " + value, origin_of(config_.origins, path, "default"));
  }

  // name: as in a header, without the brackets of a list.
  void choice(const std::string& name, PluginChoice c, bool listed, bool claims) {
    header(listed ? "[[" + name + "]]" : "[" + name + "]", c.origin);
    for (const auto& key : choice_keys()) {
      const auto value = claims || key.name != std::string_view("schemes") ? value_of(key, c) : std::string();
      if (!value.empty()) say(key.name + (" = " + value), origin_of(c.places, key.name, c.origin));
    }
    auto settings = json::parse(c.settings);
    if (!config_.registries.empty() && c.use == "oci") settings.erase("registries");  // shown once, under [registries]
    if (settings.empty()) return;
    section(name + ".settings");
    for (const auto& [key, value] : settings.items())
      say(toml_key(key) + " = " + masked_toml(key, value), origin_of(c.places, "/" + key, c.origin));
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string origin_of(const std::map<std::string, std::string>& origins, const std::string& path,
                               const std::string& otherwise) {
    const auto found = origins.find(path);
    return found == origins.end() ? otherwise : found->second;
  }

  const Config& config_;
  const bool origins_;
  std::string out_;
};

void write_keys(Writer& w, Config& c, bool top) {
  std::string_view section;
  for (const auto& key : config_keys()) {
    if ((*key.section == '\0') != top) continue;
    const auto value = value_of(key, c);
    // The token of a file is shown by the file's name: only one of them can be said.
    if (value.empty() || (key.form == Form::secret && !c.listen.token_file.empty())) continue;
    if (section != key.section) w.section(key.section);
    section = key.section;
    w.line(key.name, value, key.path());
  }
}

void write_plugins(Writer& w, const Config& c) {
  for (const auto& kind : kinds()) {
    const auto& choices = c.*kind.choices;
    for (const auto& choice : choices) w.choice(kind.name, choice, !kind.chain || choices.size() > 1, kind.claims);
  }
  for (const auto& [name, network] : c.networks) w.choice("network." + toml_key(name), network, false, false);
}

void write_registries(Writer& w, Config& c) {
  for (auto& [host, registry] : c.registries) {
    const auto path = "registries." + host;
    w.header("[registries." + toml_key(host) + "]", c.origins.at(path));
    for (const auto& key : registry_keys()) w.line(key.name, value_of(key, registry), path + "." + key.name);
  }
}

}  // namespace

std::string show_config(const Config& config, bool origins) {
  Config c = config;  // rows give access to what may be changed
  Writer w(c, origins);
  w.say("# file: " + (c.file.empty() ? "none, all defaults" : c.file), c.file.empty() ? ""
                                                                       : c.file_origin.empty()
                                                                           ? "the first of the usual places"
                                                                           : c.file_origin);
  write_keys(w, c, true);
  for (const auto& kind : kinds())  // a list that was emptied; by default only caches are none
    if ((c.*kind.choices).empty() && kind.sample == nullptr) w.line(kind.name, "[]", kind.name);
  write_plugins(w, c);
  write_registries(w, c);
  write_keys(w, c, false);
  return w.take();
}

}  // namespace dagger::runner
