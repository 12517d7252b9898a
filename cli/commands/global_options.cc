// The flags of every command.
#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"

namespace dagger::cli {

void add_global_options(CLI::App& app, Globals& globals) {
  app.add_option("--workdir", globals.workdir, "Directory to work in ($DAGGER_WORKDIR)");
  app.add_option("--config", globals.config_file, "The operator's configuration file");
  app.add_option("--progress", globals.progress, "How progress is shown")
      ->check(CLI::IsMember({"auto", "plain", "tty"}));
  app.add_flag("-d,--debug", globals.debug, "More diagnostics");
  app.add_flag("-s,--silent", globals.silent, "No progress at all");
}

}  // namespace dagger::cli
