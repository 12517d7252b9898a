#include "core/plugin/trial.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/ask_child.h"
#include "core/base/fs.h"

namespace dagger::plugin {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds patience(10);

// On the file system of the engine's state, where this process may write there.
std::string place_for_scratch(std::string dir) {
  while (dir != "/" && ::access(dir.c_str(), W_OK) != 0) dir = parent_path(dir);
  return dir == "/" ? "/tmp" : dir;
}

std::vector<std::string> each(const char* word, const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const auto& name : names) all.push_back(std::string(word) + " " + name);
  return all;
}

std::vector<std::string> abilities_of(const Registry& plugins, std::string_view kind) {
  if (kind == Source::kind) return each("scheme", plugins.source_schemes());
  if (kind == SecretProvider::kind) return each("scheme", plugins.secret_schemes());
  if (kind == Network::kind) return each("class", plugins.network_classes());
  if (kind == Snapshotter::kind) {
    const auto traits = plugins.snapshotter().traits();
    auto all = each("reads", traits.reads);
    all.push_back("writes " + traits.writes);
    return all;
  }
  if (kind != Executor::kind) return {};
  auto& executor = plugins.executor();
  const auto traits = executor.traits();
  auto all = each("platform", traits.platforms);
  if (executor.capability(LocalExecutor::capability_id) != nullptr) all.emplace_back(LocalExecutor::capability_id);
  if (traits.devices) all.emplace_back("devices");
  if (traits.limits) all.emplace_back("limits");
  return all;
}

// In the child.
json answer(const RegistryOptions& options, std::string_view kind, const PluginChoice& choice) {
  Log log(Level::off, STDERR_FILENO);
  Spawner spawner;
  try {
    Registry plugins(options, log, spawner);
    plugins.load(kind, choice);
    auto abilities = abilities_of(plugins, kind);
    if (plugins.list().front().isolated) abilities.emplace_back("isolated");
    return {{"problem", ""}, {"abilities", abilities}};
  } catch (const Error& e) {
    return {{"problem", e.what()}, {"code", static_cast<int>(e.code())}};
  }
}

Trial broken(std::string problem) { return {std::move(problem), Code::plugin_fault, {}}; }

Trial parse_answer(const std::string& text) {
  const auto said = json::parse(text, nullptr, false);
  if (!said.is_object()) return broken("its answer cannot be read");
  Trial trial;
  trial.problem = said.value("problem", "");
  trial.code = static_cast<Code>(said.value("code", static_cast<int>(Code::internal)));
  trial.abilities = said.value("abilities", std::vector<std::string>());
  return trial;
}

}  // namespace

Trial try_plugin(const RegistryOptions& options, std::string_view kind, const PluginChoice& choice) try {
  const TempDir scratch(place_for_scratch(options.state_dir), ".dagger-trial-");
  auto own = options;
  own.state_dir = scratch.path();
  const auto said = ask_child(
      patience, [&] { return answer(own, kind, choice).dump(-1, ' ', false, json::error_handler_t::replace); });
  switch (said.end) {
    case ChildAnswer::End::answered:
      return parse_answer(said.text);
    case ChildAnswer::End::crashed:
      return broken("its process was killed by " + signal_text(said.signal));
    case ChildAnswer::End::late:
      return broken("its constructor did not return within " + std::to_string(patience.count()) + " s");
    case ChildAnswer::End::exited:
      break;
  }
  return broken("it ended the process that tried it");
} catch (const Error& e) {
  return {e.what(), e.code(), {}};
}

}  // namespace dagger::plugin
