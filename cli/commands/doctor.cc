// dagger doctor: can a runner work on this machine, and if not, what is to be done?
#include "core/runner/doctor/doctor.h"

#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"

namespace dagger::cli {
namespace {

int examine(const Globals& globals) {
  const auto context = runner::process_config_context(globals.config_file, globals.install_dir);
  const auto findings = runner::diagnose(runner::look_at_host(context));
  for (const auto& finding : findings) std::cout << finding.line() << "\n";
  const auto failures = std::count_if(findings.begin(), findings.end(),
                                      [](const auto& finding) { return finding.level == runner::Finding::fail; });
  if (failures == 0)
    std::cout << "the engine can run here\n";
  else
    std::cout << "the engine cannot run here: " << failures << (failures == 1 ? " failure\n" : " failures\n");
  return failures == 0 ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("doctor", "What works on this machine, what does not, and the remedy");
  command->footer("Configured plugins are tried in child processes. Exit code 1: the engine cannot run here.");
  command->callback([&globals] { globals.exit_code = examine(globals); });
}

}  // namespace dagger::cli
