// dagger config show | check: the operator's configuration as the engine understands it.
#include "core/runner/config/config.h"

#include <iostream>
#include <set>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/plugin/loader.h"

namespace dagger::cli {
namespace {

runner::ConfigContext context_of(const Globals& globals) {
  return runner::process_config_context(globals.config_file, globals.install_dir);
}

// "file:line" of "file:line:column: ...": a value of the wrong kind is found by the reader and by the plugin's schema.
std::string line_of(const std::string& problem) {
  const auto message = problem.find(": ");
  return problem.substr(0, problem.rfind(':', message == std::string::npos ? message : message - 1));
}

// The file, every plugin file that it names, and their settings; no plugin runs.
void check(const Globals& globals) {
  auto [config, problems] = runner::read_config(context_of(globals));
  std::set<std::string> lines;
  for (const auto& problem : problems) lines.insert(line_of(problem));
  const auto add = [&, &all = problems, &dirs = config.plugin_dirs](std::string_view kind,
                                                                    const plugin::PluginChoice& choice) {
    if (choice.use.empty()) return;  // which is one of the problems
    for (auto& problem : plugin::problems_of(dirs, kind, choice))
      if (lines.count(line_of(problem)) == 0) all.push_back(std::move(problem));
  };
  add("snapshotter", config.snapshotter);
  add("executor", config.executor);
  for (const auto& [name, choice] : config.networks) add("network", choice);
  for (const auto& choice : config.sources) add("source", choice);
  for (const auto& choice : config.caches) add("cache", choice);
  for (const auto& choice : config.secrets) add("secret", choice);
  std::string text;
  for (const auto& problem : problems) text += "\n" + problem;
  if (!text.empty())
    throw Error(Code::invalid_argument,
                (problems.size() == 1 ? "1 problem:" : std::to_string(problems.size()) + " problems:") + text);
  std::cout << (config.file.empty() ? "no configuration file: the defaults are fine" : config.file + " is fine")
            << "\n";
}

}  // namespace

void add_config(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("config", "The operator's configuration");
  command->require_subcommand(1);
  command->add_subcommand("show", "The effective configuration, and where each value comes from")->callback([&globals] {
    std::cout << runner::show_config(runner::load_config(context_of(globals)));
  });
  command->add_subcommand("check", "Check the file, the plugins that it names and their settings")
      ->callback([&globals] { check(globals); });
}

}  // namespace dagger::cli
