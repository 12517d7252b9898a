// dagger plugin new KIND NAME: a project that builds, passes its tests, and is to be changed from there.
//
// The files are templates, installed beside the program: those of "common" and those of the kind.
#include <algorithm>
#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "core/base/fs.h"
#include "core/plugin/nearest_name.h"

namespace dagger::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_name = 31;  // of a manifest

using Words = std::vector<std::pair<std::string, std::string>>;  // "@NAME@" -> "foo"

// "my-source" -> "MySource"
std::string class_name(const std::string& name) {
  std::string text;
  bool start = true;
  for (const char c : name) {
    if (c != '-') text += start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    start = c == '-';
  }
  return text;
}

std::string variable_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
  return name;
}

std::string filled(std::string text, const Words& words) {
  for (const auto& [word, value] : words)
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += value.size())
      text.replace(at, word.size(), value);
  return text;
}

// The name becomes a scheme, a part of a file's name, of a class and of a variable.
void check_name(const std::string& name) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const bool good =
      !name.empty() && name.size() <= max_name && letter(name[0]) && name.back() != '-' &&
      std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '-'; });
  if (!good)
    throw Error(Code::invalid_argument,
                "\"" + name + "\" is no name for a plugin: use a-z, 0-9 and '-', a letter first, at most " +
                    std::to_string(max_name) + " characters");
}

std::vector<std::string> kinds_in(const fs::path& templates) {
  std::vector<std::string> kinds;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(templates, error))
    if (entry.path().filename() != "common") kinds.push_back(entry.path().filename());
  if (kinds.empty())
    throw Error(Code::not_found,
                "there are no templates in " + templates.string() + ": the installation is incomplete");
  return kinds;
}

void check_kind(const fs::path& templates, const std::string& kind) {
  const auto kinds = kinds_in(templates);
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    throw Error(Code::invalid_argument, "there is no template for plugins of kind \"" + kind + "\"" +
                                            plugin::known_names_hint(kind, kinds, "kinds"));
}

// A template that no tool shall take for the real thing ends in ".in".
std::string written_name(const fs::path& file) {
  return file.extension() == ".in" ? file.stem().string() : file.filename().string();
}

void write_project(const Globals& globals, const std::string& kind, const std::string& name, std::string directory) {
  const fs::path templates = globals.install_dir + "/share/dagger/plugin-templates";
  check_kind(templates, kind);
  check_name(name);
  if (directory.empty()) directory = kind + "-" + name;
  const auto target = join_path(fs::current_path().string(), directory);
  if (exists(target)) throw Error(Code::invalid_argument, target + " exists already; choose another with --directory");
  const Words words = {{"@KIND@", kind},
                       {"@NAME@", name},
                       {"@CLASS@", class_name(name)},
                       {"@VARIABLE@", variable_name(name)},
                       {"@DEFAULT@", kind == "secret" ? "env" : "oci"}};
  make_dirs(target);
  for (const char* part : {"common", kind.c_str()})
    for (const auto& file : fs::directory_iterator(templates / part))
      write_file_atomically(target + "/" + written_name(file.path()), filled(read_file(file.path()), words));
  std::cout << target << " is a " << kind << " plugin '" << name
            << "'; its README.md says how to build, test and use it\n";
}

}  // namespace

void add_plugin_new(CLI::App& plugin, Globals& globals) {
  auto* command =
      plugin.add_subcommand("new", "Write a project for a plugin of your own: it builds, and passes its tests");
  auto kind = std::make_shared<std::string>(), name = std::make_shared<std::string>(),
       directory = std::make_shared<std::string>();
  command->add_option("kind", *kind, "source or secret")->required();
  command->add_option("name", *name, "Its name, and the scheme that it serves")->required();
  command->add_option("--directory", *directory, "Where; default: ./KIND-NAME");
  command->callback([=, &globals] { write_project(globals, *kind, *name, *directory); });
}

}  // namespace dagger::cli
