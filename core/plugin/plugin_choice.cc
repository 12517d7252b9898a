// The checks of loader.h that load nothing.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/plugin/config_schema.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/loader.h"
#include "core/plugin/nearest_name.h"

namespace dagger::plugin {
namespace {

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string all;
  for (const auto& p : parts) all += (all.empty() ? "" : between) + p;
  return all;
}

// The place of the nearest enclosing setting that was written down, else of the plugin itself.
std::string place_of(const PluginChoice& choice, std::string pointer) {
  for (;; pointer.resize(pointer.rfind('/'))) {
    if (const auto found = choice.places.find(pointer); found != choice.places.end()) return found->second;
    if (pointer.empty()) return choice.origin;
  }
}

// Of the plugins of a kind that are there.
std::vector<std::string> names_in(const std::vector<std::string>& dirs, std::string_view kind) {
  const auto prefix = std::string(file_prefix(kind)) + "-";
  std::vector<std::string> names;
  for (const auto& dir : dirs) {
    std::error_code error;
    for (auto it = std::filesystem::directory_iterator(dir, error);
         !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
      const auto stem = it->path().stem().string();
      if (it->path().extension() == ".so" && stem.substr(0, prefix.size()) == prefix)
        names.push_back(stem.substr(prefix.size()));
    }
  }
  return names;
}

std::vector<std::string> settings_problems(const std::string& label, std::string_view schema_text,
                                           const PluginChoice& choice) {
  const auto schema = parse_schema(schema_text);
  const auto settings = parse_json(choice.settings, "the settings", {1 << 20, 32});
  std::vector<std::string> all;
  for (const auto& problem : check_settings(schema, settings)) {
    const auto place = place_of(choice, problem.pointer);
    all.push_back((place.empty() ? "" : place + ": ") + "settings of " + label +
                  (problem.pointer.empty() ? "" : ", " + problem.pointer) + ": " + problem.message);
  }
  return all;
}

}  // namespace

std::string_view file_prefix(std::string_view kind) { return kind == "executor" ? std::string_view("exec") : kind; }

std::string find_plugin_file(const std::vector<std::string>& dirs, std::string_view kind, const PluginChoice& choice) {
  if (!choice.file.empty() && choice.file.find('/') != std::string::npos) return choice.file;
  const auto name = choice.file.empty() ? std::string(file_prefix(kind)) + "-" + choice.use + ".so" : choice.file;
  for (const auto& dir : dirs)
    if (auto file = dir + "/" + name; exists(file)) return file;
  auto known = names_in(dirs, kind);
  throw Error(Code::not_found, (choice.origin.empty() ? "" : choice.origin + ": ") + "no plugin file " + name + " in " +
                                   (dirs.empty() ? "any directory (none is configured)" : joined(dirs, ", ")) +
                                   (known.empty() ? std::string() : known_names_hint(choice.use, known, "names")) +
                                   "; install it there, or set plugin_dirs or file");
}

JudgedFile judge_plugin_file(const std::string& file, std::string_view kind, const PluginChoice& choice) {
  JudgedFile judged{file, std::nullopt, {}};
  auto& refusals = judged.refusals;
  const auto note = [&](const auto& step) {
    try {
      step();
    } catch (const Error& e) {
      refusals.push_back(e);
    }
  };
  UniqueFd fd;
  note([&] {
    judged.path = canonical_path(file);
    fd = open_file(judged.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    refusals = distrust(fd.get(), judged.path);
  });
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return judged;
  if (!choice.sha256.empty()) note([&] { check_sha256(fd.get(), choice.sha256); });
  note([&] { judged.contents = read_plugin_file_fd(fd.get()); });
  if (!judged.contents) return judged;
  for (auto& misfit : misfits(judged.contents->manifest, kind, choice.use)) refusals.push_back(std::move(misfit));
  if (const auto& schema = judged.contents->settings_schema) note([&] { parse_schema(*schema); });
  return judged;
}

CheckedFile check_plugin_file(const std::string& file, std::string_view kind, const PluginChoice& choice) {
  auto judged = judge_plugin_file(file, kind, choice);
  if (!judged.refusals.empty()) throw std::move(judged.refusals.front());
  return {std::move(judged.path), std::move(*judged.contents)};
}

std::vector<std::string> problems_of(const std::vector<std::string>& dirs, std::string_view kind,
                                     const PluginChoice& choice) {
  std::string file;
  try {
    file = find_plugin_file(dirs, kind, choice);
  } catch (const Error& e) {
    return {e.what()};  // with its place
  }
  const auto judged = judge_plugin_file(file, kind, choice);
  std::vector<std::string> all;
  for (const auto& refusal : judged.refusals) all.push_back(choice.origin + ": plugin " + file + ": " + refusal.what());
  if (!all.empty() || !judged.contents->settings_schema) return all;
  return settings_problems(judged.contents->manifest.label(), *judged.contents->settings_schema, choice);
}

void check_plugin_settings(const std::string& label, std::string_view schema, const PluginChoice& choice) {
  if (const auto all = settings_problems(label, schema, choice); !all.empty())
    throw Error(Code::invalid_argument, joined(all, "\n"));
}

}  // namespace dagger::plugin
