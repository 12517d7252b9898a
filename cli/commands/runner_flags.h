// cli/commands/runner_flags.h — the flags of `dagger runner` that beat the configuration, for it and for those who show
// what it would do. Values; one thread.
#pragma once
#include <string>
#include <vector>

#include "core/runner/config/config.h"

namespace CLI {
class App;
}

namespace dagger::cli {

struct RunnerFlags {
  std::vector<std::string> listen;
  std::string log_file;
  int idle_seconds = -1;
};

// flags outlives the parser.
void add_runner_flags(CLI::App& command, RunnerFlags& flags);
void apply(const RunnerFlags& flags, runner::Config& config);

}  // namespace dagger::cli
