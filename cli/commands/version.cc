#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/base/loop.h"
#include "core/runner/host.h"

namespace dagger::cli {

void add_version(CLI::App& app, Globals& globals) {
  app.add_subcommand("version", "Print the version")->callback([&globals] {
    std::cout << "dagger v" << globals.version << " (local runner) " << runner::host_platform() << "\n";
  });
}

}  // namespace dagger::cli
