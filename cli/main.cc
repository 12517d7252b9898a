// The program: parses the command line, runs one command, turns errors into text and exit codes.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/base/fs.h"
#include "core/plugin/blame.h"

namespace {

// <install>/bin/dagger -> <install>: the tree may be anywhere, also on a read-only mount.
std::string own_path() {
  std::string path(4096, '\0');
  const auto n = ::readlink("/proc/self/exe", path.data(), path.size());
  if (n <= 0) dagger::throw_errno("find this program's own file");
  path.resize(static_cast<std::size_t>(n));
  return path;
}

}  // namespace

int main(int argc, char** argv) {
  dagger::cli::Globals globals;
  globals.inherited = dagger::Inherited::take();
  // A closed stdout or stderr is an error of write(2), never the end of the program: SDKs close their ends early.
  ::signal(SIGPIPE, SIG_IGN);
  ::umask(022);
  dagger::plugin::install_crash_reporter();
  globals.version = DAGGER_VERSION;

  CLI::App app{"Runs pipelines of containers that a client tool describes.", "dagger"};
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of every command");
  using namespace dagger::cli;
  if (const char* workdir = ::getenv("DAGGER_WORKDIR")) globals.workdir = workdir;
  add_global_options(app, globals);
  app.fallthrough();
  for (const auto add :
       {add_run, add_session, add_query, add_runner, add_version, add_plugin, add_config, add_doctor, add_completion})
    add(app, globals);

  try {
    globals.program = own_path();
    globals.install_dir = dagger::parent_path(dagger::parent_path(globals.program));
    std::vector<std::string> args(argv + 1, argv + argc);
    drop_run_mark(app, args);
    std::reverse(args.begin(), args.end());  // as the parser wants them
    app.parse(std::move(args));
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  } catch (const std::exception& e) {
    std::cerr << "Error: " << e.what() << "\n";
    return 1;
  }
  return globals.exit_code;
}
