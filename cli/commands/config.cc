// dagger config show | check | example: the operator's configuration as the engine understands it.
#include "core/runner/config/config.h"

#include <iostream>
#include <set>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "cli/commands/runner_flags.h"
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
  for (const auto& named : runner::named_plugins(config)) {
    if (named.choice->use.empty()) continue;  // which is one of the problems
    for (auto& problem : plugin::problems_of(config.plugin_dirs, named.kind, *named.choice))
      if (lines.count(line_of(problem)) == 0) problems.push_back(std::move(problem));
  }
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
  auto* show = command->add_subcommand("show", "The effective configuration, secrets masked");
  auto origin = std::make_shared<bool>(false);
  auto flags = std::make_shared<RunnerFlags>();
  show->add_flag("--origin", *origin,
                 "Behind each value where it comes from: default, file:line:column, $VARIABLE, --flag");
  add_runner_flags(*show, *flags);  // what a runner with these would do
  show->callback([origin, flags, &globals] {
    auto config = runner::load_config(context_of(globals));
    apply(*flags, config);
    std::cout << runner::show_config(config, *origin);
  });
  command->add_subcommand("check", "Check the file, the plugins that it names and their settings")
      ->callback([&globals] { check(globals); });
  command->add_subcommand("example", "A file with every setting, its default and what it is for")->callback([&globals] {
    std::cout << runner::example_config(context_of(globals));
  });
}

}  // namespace dagger::cli
