// core/plugin/inspect.h — what plugin files there are, without running any of them (`dagger plugin list`).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/plugin/manifest_reader.h"

namespace dagger::plugin {

struct InspectedFile {
  std::string path;
  std::optional<PluginFile> contents;  // absent where even the manifest cannot be read
  std::string problem;                 // why the engine would not load it; empty: it would
};

// Every *.so of the directories, in their order, then by name. A directory that does not exist is skipped; one that
// cannot be read is an entry with a problem.
std::vector<InspectedFile> inspect_plugins(const std::vector<std::string>& dirs);
InspectedFile inspect_plugin(const std::string& file);

}  // namespace dagger::plugin
