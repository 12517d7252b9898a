// The checks of loader.h that load nothing.
#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/plugin/config_schema.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/loader.h"

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

}  // namespace

std::string_view file_prefix(std::string_view kind) { return kind == "executor" ? std::string_view("exec") : kind; }

std::string find_plugin_file(const std::vector<std::string>& dirs, std::string_view kind, const PluginChoice& choice) {
  if (!choice.file.empty() && choice.file.find('/') != std::string::npos) return choice.file;
  const auto name = choice.file.empty() ? std::string(file_prefix(kind)) + "-" + choice.use + ".so" : choice.file;
  for (const auto& dir : dirs)
    if (auto file = dir + "/" + name; exists(file)) return file;
  throw Error(Code::not_found, "no plugin file " + name + " in " +
                                   (dirs.empty() ? "any directory (none is configured)" : joined(dirs, ", ")) +
                                   "; install it there, or set plugin_dirs or file" +
                                   (choice.origin.empty() ? "" : " (" + choice.origin + ")"));
}

CheckedFile check_plugin_file(const std::string& file, std::string_view kind, const PluginChoice& choice) {
  CheckedFile checked;
  checked.path = canonical_path(file);
  const auto fd = open_trusted(checked.path);
  if (!choice.sha256.empty()) check_sha256(fd.get(), choice.sha256);
  checked.contents = read_plugin_file_fd(fd.get());
  check_compatible(checked.contents.manifest, kind, choice.use);
  return checked;
}

void check_plugin_settings(const std::string& label, std::string_view schema_text, const PluginChoice& choice) {
  const auto schema = nlohmann::json::parse(schema_text, nullptr, false);
  if (schema.is_discarded()) throw Error(Code::plugin_fault, "its settings schema is not valid JSON");
  if (const auto wrong = check_schema(schema); !wrong.empty())
    throw Error(Code::plugin_fault, "its settings schema is wrong at '" + wrong[0].pointer + "': " + wrong[0].message);
  const auto settings = parse_json(choice.settings, "the settings", {1 << 20, 32});
  std::string all;
  for (const auto& problem : check_settings(schema, settings)) {
    const auto place = place_of(choice, problem.pointer);
    all += (all.empty() ? "" : "\n") + (place.empty() ? "" : place + ": ") + "settings of " + label +
           (problem.pointer.empty() ? "" : ", " + problem.pointer) + ": " + problem.message;
  }
  if (!all.empty()) throw Error(Code::invalid_argument, all);
}

}  // namespace dagger::plugin
