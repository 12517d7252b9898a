// core/plugin/nearest_name.h — "did you mean": for messages about unknown keys, in plugin settings and in the
// configuration file. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace dagger::plugin {

// The known name that is closest to what was written; empty if none is close (more than a third of it differs).
std::string nearest_name(std::string_view written, const std::vector<std::string>& known);

// "; did you mean \"mirrors\"? known keys: ca, mirrors, plain_http"
std::string known_names_hint(std::string_view written, std::vector<std::string> known, const std::string& what);

}  // namespace dagger::plugin
