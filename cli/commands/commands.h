// cli/commands/commands.h — one function per command; each adds its subcommand to the parser and what runs when it is
// chosen. A command's exit code goes into Globals::exit_code; what it throws is printed by main as "Error: ...",
// exit 1.
#pragma once
#include <string>
#include <vector>

#include "core/base/process.h"

namespace CLI {
class App;
}

namespace dagger::cli {

// What every command may use. Lives as long as main().
struct Globals {
  std::string version;      // of this program: "0.1.0"
  std::string program;      // absolute path of the running file
  std::string install_dir;  // the folder that has bin/ and lib/
  // Persistent flags.
  std::string workdir, config_file, progress = "auto";
  bool debug = false, silent = false;
  int exit_code = 0;
  Inherited inherited;  // what a command that is run gets too
};

// The flags that stand before a command, or among its own. A command that takes unknown flags has to say them itself.
void add_global_options(CLI::App& app, Globals& globals);
// "run FLAGS -- COMMAND" is "run FLAGS COMMAND": the parser would take "--" for the end of run.
void drop_run_mark(CLI::App& app, std::vector<std::string>& args);

void add_run(CLI::App& app, Globals& globals);
void add_session(CLI::App& app, Globals& globals);
void add_query(CLI::App& app, Globals& globals);
void add_runner(CLI::App& app, Globals& globals);
void add_version(CLI::App& app, Globals& globals);
void add_plugin(CLI::App& app, Globals& globals);
void add_plugin_new(CLI::App& plugin, Globals& globals);  // below "plugin"
void add_config(CLI::App& app, Globals& globals);
void add_doctor(CLI::App& app, Globals& globals);
void add_completion(CLI::App& app, Globals& globals);

}  // namespace dagger::cli
