// core/runner/survey.h — what the configuration makes of the plugins on this machine, for `dagger plugin` and
// `dagger doctor`. Plugins are only tried in child processes (core/plugin/trial.h). One thread. [blocking]
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/plugin/trial.h"
#include "core/runner/config/config.h"

namespace dagger::runner {

// One choice of the configuration.
struct PluginUse : NamedPlugin {
  std::string path;                    // canonical; empty: there is no such file
  std::string problem;                 // why it would not be loaded or does not work; empty: nothing known
  std::optional<plugin::Trial> trial;  // if it was to be tried and would be loaded
  bool taken = false;                  // of a list: the one that the runner takes, as far as was tried

  // "default, 2 of 2: does not work here: ..."
  std::string text() const;
};

// In the order of named_plugins(). config outlives the answer.
std::vector<PluginUse> survey_plugins(const Config& config, const std::string& install_dir, bool try_them);

}  // namespace dagger::runner
