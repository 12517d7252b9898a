// core/plugin/loader.h — from a file to a plugin object.
//
// Nothing of a file runs before everything that can be read from outside fits: owner, permissions, digest, machine,
// API, ABI, kind, name, settings. The code of a plugin is never unloaded. Every error names the file, what was found,
// what is expected and the remedy. One load at a time.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/plugin/host_services.h"
#include "core/plugin/manifest_reader.h"

namespace dagger::plugin {

// Below the engine's install directory: the plugins that come with it.
inline constexpr const char* bundled_plugins = "/lib/dagger/plugins/1";

// Where a plugin runs. by_place: bundled ones inside the engine, others in a process of their own, where their kind can
// (core/plugin/isolation/isolate.h).
enum class Isolation { by_place, none, process };

// One plugin that the configuration names.
struct PluginChoice {
  std::string use;                  // the manifest's name
  std::string file;                 // empty: <prefix>-<use>.so of the first plugin directory that has it
  std::string sha256;               // of the file, 64 hex digits; empty: not checked
  std::string settings = "{}";      // JSON object
  std::vector<std::string> claims;  // schemes (source, secret) or classes (network) it serves; empty: all it offers
  Isolation isolation = Isolation::by_place;
  std::string origin;                         // where it was chosen: "/etc/dagger/dagger.toml:12:1"
  std::map<std::string, std::string> places;  // JSON pointer of a setting, or another key -> where it was written

  bool operator==(const PluginChoice&) const = default;
};

// A plugin object with what it stands on. Destroyed in the right order: the object, then its host.
struct LoadedPlugin {
  Manifest manifest;
  std::string path;  // canonical; empty for an object that was made in this program (tests)
  std::unique_ptr<HostServices> host;
  std::unique_ptr<Plugin> instance;
};

// File name prefix of a kind: "exec" for "executor", else the kind itself.
std::string_view file_prefix(std::string_view kind);

// The file that a choice names. Throws not_found with the directories that were searched.
std::string find_plugin_file(const std::vector<std::string>& dirs, std::string_view kind, const PluginChoice& choice);

// A file as far as it can be judged without running code of it.
struct JudgedFile {
  std::string path;                    // canonical, where there is such a file
  std::optional<PluginFile> contents;  // absent where even the manifest cannot be read
  std::vector<Error> refusals;         // every reason not to load it; empty: none
};
JudgedFile judge_plugin_file(const std::string& file, std::string_view kind, const PluginChoice& choice);

// A file that passed. Throws the first refusal.
struct CheckedFile {
  std::string path;  // canonical
  PluginFile contents;
};
CheckedFile check_plugin_file(const std::string& file, std::string_view kind, const PluginChoice& choice);

// Everything that is wrong with a choice and can be seen without running code of the plugin; one line each, with its
// place in the configuration file.
std::vector<std::string> problems_of(const std::vector<std::string>& dirs, std::string_view kind,
                                     const PluginChoice& choice);

// Throws invalid_argument with every problem and its place in the configuration file.
void check_plugin_settings(const std::string& label, std::string_view schema, const PluginChoice& choice);

using MakeHost = std::function<std::unique_ptr<HostServices>(const Manifest&)>;

// The rest: runs code of a file that passed its checks. choice: its name and its settings, which were checked against
// the schema in the file if it has one.
LoadedPlugin run_plugin(const CheckedFile& file, const PluginChoice& choice, const MakeHost& make_host);

LoadedPlugin load_plugin(const std::string& file, std::string_view kind, const PluginChoice& choice,
                         const MakeHost& make_host);

}  // namespace dagger::plugin
