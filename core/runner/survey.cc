#include "core/runner/survey.h"

#include <algorithm>

#include "core/plugin/file_checks.h"

namespace dagger::runner {
namespace {

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void look_at(PluginUse& use, const plugin::RegistryOptions& options, bool try_it) {
  try {
    const auto file = plugin::find_plugin_file(options.plugin_dirs, use.kind, *use.choice);
    use.path = plugin::canonical_path(file);
  } catch (const Error& e) {
    use.problem = e.what();
    return;
  }
  for (const auto& problem : plugin::problems_of(options.plugin_dirs, use.kind, *use.choice))
    use.problem += (use.problem.empty() ? "" : "; ") + problem;
  if (!use.problem.empty() || !try_it) return;
  use.trial = plugin::try_plugin(options, use.kind, *use.choice);
  use.problem = one_line(use.trial->problem);
}

// As Registry::load_first() chooses: what is a mistake ends the search.
void choose(std::vector<PluginUse>& uses) {
  for (std::size_t i = 0; i < uses.size(); ++i) {
    if (uses[i].rank != 1) continue;
    for (auto at = i; at < i + uses[i].of; ++at) {
      const auto& trial = uses[at].trial;
      if (!trial) break;
      uses[at].taken = trial->problem.empty();
      if (uses[at].taken || !plugin::works_elsewhere(trial->code)) break;
    }
  }
}

}  // namespace

std::string PluginUse::text() const {
  auto text = choice->origin;
  if (kind == "network") text += ", class " + choice->claims.at(0);
  if (of > 1) text += ", " + std::to_string(rank) + " of " + std::to_string(of);
  if (!problem.empty()) return text + (trial ? ": does not work here: " : ": ") + problem;
  if (of > 1 && taken) text += ": taken";
  return text;
}

std::vector<PluginUse> survey_plugins(const Config& config, const std::string& install_dir, bool try_them) {
  const plugin::RegistryOptions options{config.plugin_dirs, config.state_dir, install_dir};
  std::vector<PluginUse> all;
  for (const auto& named : named_plugins(config)) {
    PluginUse use{named, {}, {}, {}, false};
    look_at(use, options, try_them);
    all.push_back(std::move(use));
  }
  choose(all);
  return all;
}

}  // namespace dagger::runner
