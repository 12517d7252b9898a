#include "cli/commands/runner_flags.h"

#include <CLI/CLI.hpp>

namespace dagger::cli {

void add_runner_flags(CLI::App& command, RunnerFlags& flags) {
  command.add_option("--listen", flags.listen, "unix:///path or tcp://host:port; may be repeated");
  command.add_option("--log-file", flags.log_file, "Write diagnostics there instead of stderr");
  command.add_option("--idle-timeout", flags.idle_seconds,
                     "With --on-demand: end after this many seconds without a session; 0: never");
}

void apply(const RunnerFlags& flags, runner::Config& config) {
  if (!flags.listen.empty()) {
    config.listen.addresses = flags.listen;
    config.origins["listen.addresses"] = "--listen";
  }
  if (!flags.log_file.empty()) {
    config.log_file = flags.log_file;
    config.origins["log.file"] = "--log-file";
  }
  if (flags.idle_seconds >= 0) {
    config.idle_timeout = std::chrono::seconds(flags.idle_seconds);
    config.origins["runner.idle_timeout"] = "--idle-timeout";
  }
}

}  // namespace dagger::cli
