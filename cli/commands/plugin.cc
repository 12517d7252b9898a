// dagger plugin list: what plugins there are, without running any of them.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/plugin/inspect.h"
#include "core/runner/config/config.h"

namespace dagger::cli {
namespace {

int list(const Globals& globals) {
  const auto config = runner::load_config(runner::process_config_context(globals.config_file, globals.install_dir));
  int unusable = 0;
  for (const auto& file : plugin::inspect_plugins(config.plugin_dirs)) {
    if (file.contents) {
      const auto& m = file.contents->manifest;
      std::cout << m.kind << "\t" << m.name << "\t" << m.version << "\t" << m.vendor << "\t" << file.path << "\n";
    }
    if (file.problem.empty()) continue;
    ++unusable;
    std::cout << "unusable\t" << file.path << "\t" << file.problem << "\n";
  }
  return unusable == 0 ? 0 : 1;
}

}  // namespace

void add_plugin(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("plugin", "Plugins of this engine");
  command->require_subcommand(1);
  command->add_subcommand("list", "Kind, name, version, vendor and file of every plugin in the plugin directories")
      ->callback([&globals] { globals.exit_code = list(globals); });
}

}  // namespace dagger::cli
