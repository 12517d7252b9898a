// dagger plugin list | show | check: what plugins there are, what they can be told, and why one is refused.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"
#include "core/base/fs.h"
#include "core/plugin/config_schema.h"
#include "core/plugin/inspect.h"
#include "core/plugin/nearest_name.h"
#include "core/runner/survey.h"

namespace dagger::cli {
namespace {

using plugin::JudgedFile;
using runner::PluginUse;

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string all;
  for (const auto& part : parts) all += (all.empty() ? "" : between) + part;
  return all;
}

std::vector<std::string> reasons(const JudgedFile& file) {
  std::vector<std::string> all;
  for (const auto& refusal : file.refusals) all.emplace_back(refusal.what());
  return all;
}

nlohmann::json schema_of(const JudgedFile& file) {
  const auto text = file.contents ? file.contents->settings_schema.value_or("{}") : "{}";
  const auto schema = nlohmann::json::parse(text, nullptr, false);
  return schema.is_object() && plugin::check_schema(schema).empty() ? schema : nlohmann::json::object();
}

// Every file there is, with what the configuration does with it.
class Plugins {
 public:
  Plugins(const Globals& globals, bool try_them)
      : config_(runner::load_config(runner::process_config_context(globals.config_file, globals.install_dir))),
        files_(plugin::inspect_plugins(config_.plugin_dirs)),
        uses_(runner::survey_plugins(config_, globals.install_dir, try_them)) {
    for (const auto& use : uses_)  // files that are chosen from elsewhere
      if (!use.path.empty() && std::none_of(files_.begin(), files_.end(), [&](auto& f) { return f.path == use.path; }))
        files_.push_back(plugin::judge_plugin_file(use.path, "", {}));
  }

  const std::vector<JudgedFile>& files() const noexcept { return files_; }
  const std::vector<PluginUse>& uses() const noexcept { return uses_; }
  std::vector<const PluginUse*> uses_of(const JudgedFile& file) const {
    std::vector<const PluginUse*> all;
    for (const auto& use : uses_)
      if (use.path == file.path) all.push_back(&use);
    return all;
  }
  static std::string chosen(const std::vector<const PluginUse*>& uses) {
    std::vector<std::string> all;
    for (const auto* use : uses) all.push_back(use->text());
    return all.empty() ? "-" : joined(all, "; ");
  }
  static std::string abilities(const std::vector<const PluginUse*>& uses) {
    std::vector<std::string> all;
    for (const auto* use : uses)
      for (const auto& ability : use->trial ? use->trial->abilities : std::vector<std::string>())
        if (std::find(all.begin(), all.end(), ability) == all.end()) all.push_back(ability);
    return all.empty() ? "-" : joined(all, ", ");
  }

 private:
  const runner::Config config_;
  std::vector<JudgedFile> files_;
  std::vector<PluginUse> uses_;
};

// ---- list ----

int list(const Globals& globals, bool settings, bool try_them) {
  const Plugins plugins(globals, try_them);
  bool all_fine = true;
  std::cout << "KIND\tNAME\tVERSION\tVENDOR\tFILE\tCHOSEN BY\tCAPABILITIES\n";
  for (const auto& file : plugins.files()) {
    if (file.contents) {
      const auto& m = file.contents->manifest;
      const auto uses = plugins.uses_of(file);
      std::cout << m.kind << "\t" << m.name << "\t" << m.version << "\t" << m.vendor << "\t" << file.path << "\t"
                << Plugins::chosen(uses) << "\t" << Plugins::abilities(uses) << "\n";
    }
    for (const auto& reason : reasons(file)) std::cout << "unusable\t" << file.path << "\t" << reason << "\n";
    all_fine = all_fine && file.refusals.empty();
    if (!settings) continue;
    for (const auto& setting : plugin::describe_settings(schema_of(file)))
      std::cout << "\t" << setting.name << "\t" << setting.type << "\t" << setting.description << "\n";
  }
  for (const auto& use : plugins.uses()) {
    if (!use.path.empty()) continue;
    std::cout << "missing\t" << use.choice->use << "\t" << use.problem << "\n";
    all_fine = false;
  }
  return all_fine ? 0 : 1;
}

// ---- show ----

void show_settings(const JudgedFile& file) {
  const auto settings = plugin::describe_settings(schema_of(file));
  if (!file.contents->settings_schema)
    std::cout << "  settings  its file does not tell them; it checks them itself when it is loaded\n";
  else if (settings.empty())
    std::cout << "  settings  none\n";
  else
    std::cout << "  settings\n";
  for (const auto& setting : settings) {
    std::cout << "    " << setting.name << "  (" << setting.type << (setting.required ? ", required" : "")
              << (setting.initial.empty() ? "" : ", default " + setting.initial) << ")\n";
    if (!setting.description.empty()) std::cout << "        " << setting.description << "\n";
  }
}

void show_file(const JudgedFile& file, const std::vector<const PluginUse*>& uses) {
  if (!file.contents) throw Error(file.refusals.front()).in(file.path);
  const auto& m = file.contents->manifest;
  const auto description = schema_of(file).value("description", "");
  std::cout << m.label() << (description.empty() ? "" : ": " + description) << "\n"
            << "  version   " << m.version << " of " << m.vendor << ", plugin API " << m.api_major << "." << m.api_minor
            << "\n  file      " << file.path << "\n";
  for (const auto& reason : reasons(file)) std::cout << "  refused   " << reason << "\n";
  for (const auto* use : uses) std::cout << "  chosen by " << use->text() << "\n";
  if (uses.empty())
    std::cout << "  chosen by nothing; add it to the configuration, then it tells what it serves\n";
  else
    std::cout << "  serves    " << Plugins::abilities(uses) << "\n";
  show_settings(file);
}

// name: that of the manifest, or of the file without ".so".
bool is_called(const JudgedFile& file, const std::string& name) {
  return base_name(file.path) == name + ".so" || (file.contents && file.contents->manifest.name == name);
}

void show(const Globals& globals, const std::string& name) {
  if (name.find('/') != std::string::npos) {
    const auto path = join_path(std::filesystem::current_path().string(), name);
    const Plugins plugins(globals, true);
    const auto file = plugin::judge_plugin_file(path, "", {});
    return show_file(file, plugins.uses_of(file));
  }
  const Plugins plugins(globals, true);
  std::vector<std::string> known;
  bool found = false;
  for (const auto& file : plugins.files()) {
    if (file.contents) known.push_back(file.contents->manifest.name);
    if (!is_called(file, name)) continue;
    if (std::exchange(found, true)) std::cout << "\n";
    show_file(file, plugins.uses_of(file));
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  if (!found)
    throw Error(Code::not_found, "there is no plugin \"" + name + "\"" +
                                     plugin::known_names_hint(name, known, "names") + "; a file is written with a '/'");
}

// ---- check ----

// The promises of the headers, each tried in a process of its own.
int run_conformance(const Globals& globals, const std::string& file, const std::vector<std::string>& arguments) {
  const auto program = globals.install_dir + "/bin/dagger-plugin-conformance";
  if (!exists(program))
    throw Error(Code::not_found, program + " is not there; install the component plugin-sdk of this engine");
  SpawnRequest request;
  request.argv = {program, file};
  request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
  for (char** entry = environ; *entry != nullptr; ++entry) request.env.emplace_back(*entry);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) request.stdio[fd] = fd;
  request.cwd = ".";
  std::cout.flush();
  Spawner spawner;
  const auto status = spawner.spawn(request).wait();
  return status.exited && status.code == 0 ? 0 : 1;
}

int check(const Globals& globals, const std::string& name, bool run, const std::vector<std::string>& arguments) {
  const auto file = plugin::judge_plugin_file(join_path(std::filesystem::current_path().string(), name), "", {});
  if (!file.refusals.empty())
    throw Error(Code::invalid_argument, file.path + " is refused, " + std::to_string(file.refusals.size()) +
                                            (file.refusals.size() == 1 ? " reason:\n" : " reasons:\n") +
                                            joined(reasons(file), "\n"));
  const auto& m = file.contents->manifest;
  std::cout << file.path << " is fine: " << m.label() << " " << m.version << "\n";
  const auto expected = std::string(plugin::file_prefix(m.kind)) + "-" + m.name + ".so";
  if (base_name(file.path) != expected)
    std::cout << "it is found by its name only as " << expected << "; else name it with file = in the configuration\n";
  return run ? run_conformance(globals, file.path, arguments) : 0;
}

void add_list(CLI::App& command, Globals& globals) {
  auto* listed = command.add_subcommand(
      "list", "Every plugin, what the configuration does with it, and what it can; one per line, columns by tabs");
  auto settings = std::make_shared<bool>(false), no_run = std::make_shared<bool>(false);
  listed->add_flag("--settings", *settings, "Below each its settings: name, type and what it is for");
  listed->add_flag("--no-run", *no_run, "Do not try those that the configuration names in child processes");
  listed->callback([=, &globals] { globals.exit_code = list(globals, *settings, !*no_run); });
}

void add_show(CLI::App& command, Globals& globals) {
  auto* shown = command.add_subcommand("show", "What a plugin is for, and its settings");
  auto name = std::make_shared<std::string>();
  shown->add_option("plugin", *name, "Its name, or its file (with a '/')")->required();
  shown->callback([=, &globals] { show(globals, *name); });
}

void add_check(CLI::App& command, Globals& globals) {
  auto* checked = command.add_subcommand(
      "check", "Every reason why the engine would refuse a plugin file; no code of it runs without --run");
  auto file = std::make_shared<std::string>();
  auto run = std::make_shared<bool>(false);
  auto arguments = std::make_shared<std::vector<std::string>>();
  checked->add_option("file", *file, "The .so file")->required();
  checked->add_flag("--run", *run, "Then check what it does, by dagger-plugin-conformance");
  checked->add_option("arguments", *arguments, "For that program, after \"--\"; its --help names them");
  checked->callback([=, &globals] { globals.exit_code = check(globals, *file, *run, *arguments); });
}

}  // namespace

void add_plugin(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("plugin", "Plugins of this engine");
  command->require_subcommand(1);
  add_list(*command, globals);
  add_show(*command, globals);
  add_check(*command, globals);
  add_plugin_new(*command, globals);
}

}  // namespace dagger::cli
