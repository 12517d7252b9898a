// dagger plugin list: what plugins there are, without running any of them.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"
#include "core/plugin/inspect.h"
#include "core/runner/config/config.h"

namespace dagger::cli {
namespace {

// A line for each setting, without the key of its plugin's columns.
void show_settings(const std::string& schema) {
  const auto parsed = nlohmann::json::parse(schema, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("properties")) return;
  for (const auto& [name, property] : parsed["properties"].items()) {
    const auto& type = property.contains("enum") ? property["enum"] : property["type"];
    std::cout << "\t" << name << "\t" << (type.is_string() ? type.get<std::string>() : type.dump()) << "\t"
              << property.value("description", "") << "\n";
  }
}

int list(const Globals& globals, bool settings) {
  const auto config = runner::load_config(runner::process_config_context(globals.config_file, globals.install_dir));
  int unusable = 0;
  for (const auto& file : plugin::inspect_plugins(config.plugin_dirs)) {
    if (file.contents) {
      const auto& m = file.contents->manifest;
      std::cout << m.kind << "\t" << m.name << "\t" << m.version << "\t" << m.vendor << "\t" << file.path << "\n";
    }
    if (file.problem.empty()) {
      if (settings) show_settings(file.contents->settings_schema.value_or("{}"));
      continue;
    }
    ++unusable;
    std::cout << "unusable\t" << file.path << "\t" << file.problem << "\n";
  }
  return unusable == 0 ? 0 : 1;
}

}  // namespace

void add_plugin(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("plugin", "Plugins of this engine");
  command->require_subcommand(1);
  auto* listed =
      command->add_subcommand("list", "Kind, name, version, vendor and file of every plugin in the plugin directories");
  auto settings = std::make_shared<bool>(false);
  listed->add_flag("--settings", *settings, "Below each its settings: name, type and what it is for");
  listed->callback([settings, &globals] { globals.exit_code = list(globals, *settings); });
}

}  // namespace dagger::cli
