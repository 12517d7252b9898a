// core/plugin/inspect.h — what plugin files there are, without running any of them (`dagger plugin list`).
#pragma once
#include "core/plugin/loader.h"

namespace dagger::plugin {

// Every *.so of the directories, in their order, then by name. A directory that does not exist is skipped; one that
// cannot be read is an entry with a refusal.
std::vector<JudgedFile> inspect_plugins(const std::vector<std::string>& dirs);

}  // namespace dagger::plugin
