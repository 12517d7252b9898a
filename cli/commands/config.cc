// dagger config show | check: the operator's configuration as the engine understands it.
#include "core/runner/config/config.h"

#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/plugin/loader.h"

namespace dagger::cli {
namespace {

runner::Config load(const Globals& globals) {
  return runner::load_config(runner::process_config_context(globals.config_file, globals.install_dir));
}

// Every plugin file that the configuration names, and its settings; no plugin runs.
void check(const Globals& globals) {
  const auto config = load(globals);
  const auto one = [&](std::string_view kind, const plugin::PluginChoice& choice) {
    const auto file = plugin::find_plugin_file(config.plugin_dirs, kind, choice);
    try {
      const auto checked = plugin::check_plugin_file(file, kind, choice);
      if (checked.contents.settings_schema)
        plugin::check_plugin_settings(std::string(kind) + " plugin '" + choice.use + "'",
                                      *checked.contents.settings_schema, choice);
    } catch (const Error& error) {
      throw Error(error).in("plugin " + file);
    }
  };
  one("snapshotter", config.snapshotter);
  one("executor", config.executor);
  for (const auto& [name, choice] : config.networks) one("network", choice);
  for (const auto& choice : config.sources) one("source", choice);
  for (const auto& choice : config.caches) one("cache", choice);
  for (const auto& choice : config.secrets) one("secret", choice);
  std::cout << (config.file.empty() ? "no configuration file: the defaults are fine" : config.file + " is fine")
            << "\n";
}

}  // namespace

void add_config(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("config", "The operator's configuration");
  command->require_subcommand(1);
  command->add_subcommand("show", "The effective configuration, and where each value comes from")->callback([&globals] {
    std::cout << runner::show_config(load(globals));
  });
  command->add_subcommand("check", "Check the file, the plugins that it names and their settings")
      ->callback([&globals] { check(globals); });
}

}  // namespace dagger::cli
