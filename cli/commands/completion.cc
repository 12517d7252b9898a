// dagger completion SHELL: a script that completes commands and flags, made from the parser itself.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"

namespace dagger::cli {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string words(const CLI::App& app) {
  std::string out;
  for (const auto* sub : commands_of(app)) out += sub->get_name() + " ";
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) out += "--" + name + " ";
  }
  return out;
}

// A case per command, those below another one first; bash and zsh (through bashcompinit) share it.
std::string bash_script(const CLI::App& app) {
  std::string cases;
  const auto add = [&](const std::string& pattern, const CLI::App& command) {
    cases += "    " + pattern + ") words=\"" + words(command) + "\" ;;\n";
  };
  for (const auto* command : commands_of(app)) {
    for (const auto* below : commands_of(*command))
      add("\"" + command->get_name() + " " + below->get_name() + "\"", *below);
    add("\"" + command->get_name() + " \"*", *command);
  }
  return "_dagger() {\n  local words=\"" + words(app) + "\" at=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n" +
         "  [ \"$COMP_CWORD\" -gt 1 ] && case \"$at\" in\n" + cases +
         "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F "
         "_dagger dagger\n";
}

std::string single_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("\\'") : std::string(1, c);
  return out + "'";
}

// condition: when the commands below app are to be offered.
std::string fish_commands(const CLI::App& app, const std::string& condition) {
  std::string out;
  for (const auto* command : commands_of(app)) {
    const auto here = "__fish_seen_subcommand_from " + command->get_name();
    const auto inside = condition == "__fish_use_subcommand" ? here : condition + "; and " + here;
    out += "complete -c dagger -n " + single_quoted(condition) + " -a " + command->get_name() + " -d " +
           single_quoted(command->get_description()) + "\n";
    for (const auto* option : command->get_options())
      for (const auto& name : option->get_lnames())
        out += "complete -c dagger -n " + single_quoted(inside) + " -l " + name + "\n";
    out += fish_commands(*command, inside);
  }
  return out;
}

std::string fish_script(const CLI::App& app) { return fish_commands(app, "__fish_use_subcommand"); }

}  // namespace

void add_completion(CLI::App& app, Globals&) {
  auto* command = app.add_subcommand("completion", "Print a completion script for bash, zsh or fish");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([shell, &app] {
    if (*shell == "fish")
      std::cout << fish_script(app);
    else
      std::cout << (*shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "") << bash_script(app);
  });
}

}  // namespace dagger::cli
