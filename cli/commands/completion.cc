// dagger completion SHELL: a script that completes commands and flags, made from the parser itself.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"

namespace dagger::cli {
namespace {

std::string words(const CLI::App& app) {
  std::string out;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; })) out += sub->get_name() + " ";
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) out += "--" + name + " ";
  }
  return out;
}

// A case per command; bash and zsh (through bashcompinit) share it.
std::string bash_script(const CLI::App& app) {
  std::string cases;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    cases += "    " + sub->get_name() + ") words=\"" + words(*sub) + "\" ;;\n";
  return "_dagger() {\n  local words=\"" + words(app) + "\"\n  case \"${COMP_WORDS[1]}\" in\n" + cases +
         "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F "
         "_dagger dagger\n";
}

std::string fish_script(const CLI::App& app) {
  std::string out;
  for (const auto* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    out +=
        "complete -c dagger -n __fish_use_subcommand -a " + sub->get_name() + " -d '" + sub->get_description() + "'\n";
    for (const auto* option : sub->get_options())
      for (const auto& name : option->get_lnames())
        out += "complete -c dagger -n '__fish_seen_subcommand_from " + sub->get_name() + "' -l " + name + "\n";
  }
  return out;
}

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
