// core/plugin/trial.h — does a plugin of the configuration work on this machine? Asked of the plugin itself.
//
// It is loaded and constructed as the engine would do it, in a child process with a state directory of its own, so that
// a crash or a hang is an answer. For `dagger plugin list` and `dagger doctor`. Call it while the process has one
// thread. [blocking]
#pragma once
#include "core/plugin/registry.h"

namespace dagger::plugin {

struct Trial {
  std::string problem;                 // why it does not work; empty: it does
  Code code = Code::internal;          // of the problem
  std::vector<std::string> abilities;  // "scheme oci", "executor.local/1", "writes overlay-trusted"
};

// options.state_dir: the engine's; only its file system is used, by a directory beside it.
Trial try_plugin(const RegistryOptions& options, std::string_view kind, const PluginChoice& choice);

}  // namespace dagger::plugin
