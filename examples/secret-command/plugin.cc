// secret-command: "cmd:NAME" is what one of the operator's commands prints. A pipeline chooses among them, and can
// neither name other programs nor give arguments.
#include <dagger/plugin/export.h>
#include <dagger/plugin/secret_provider.h>

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "run.h"

namespace secret_command {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::UniqueFd;
using dagger::plugin::Host;
using dagger::plugin::SecretContext;
using dagger::plugin::SecretProvider;

// The host has checked the text against the schema; what that cannot say is checked here.
struct Settings {
  std::map<std::string, std::vector<std::string>, std::less<>> commands;
  std::vector<std::string> environment;
  Limits limits;

  explicit Settings(std::string_view text) {
    const auto json = nlohmann::json::parse(text);
    commands = json.value("commands", commands);
    environment = json.value("environment", std::vector<std::string>{"HOME", "PATH", "USER"});
    limits.timeout = std::chrono::seconds(json.value("timeout_seconds", limits.timeout.count()));
    limits.bytes = json.value("max_bytes", limits.bytes);
    limits.cut_newline = json.value("cut_newline", limits.cut_newline);
    for (const auto& [name, argv] : commands) check(name, argv);
    for (const auto& name : environment)
      if (has_nul(name) || name.find('=') != std::string::npos)
        throw Error(Code::invalid_argument, "environment: \"" + name + "\" is no name of a variable");
  }

 private:
  static bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }
  static void check(const std::string& name, const std::vector<std::string>& argv) {
    const auto refuse = [&](const char* why) { throw Error(Code::invalid_argument, "commands." + name + ": " + why); };
    if (name.empty() || name.size() > 100 || name[0] == '/' || name.find_first_of("\n\r\t ") != std::string::npos)
      refuse("the name must have 1 to 100 characters, no blanks, and not begin with '/'");
    if (argv.empty() || argv[0].empty() || argv[0][0] != '/')
      refuse("write the program's absolute path, then its arguments");
    if (std::any_of(argv.begin(), argv.end(), has_nul)) refuse("an argument contains a NUL");
  }
};

class CommandSecrets final : public SecretProvider {
 public:
  static constexpr char settings_schema[] = R"({
    "type": "object", "additionalProperties": false,
    "description": "secrets that commands print: cmd:NAME runs the command NAME of the setting commands",
    "properties": {
      "commands": {"type": "object", "default": {}, "additionalProperties": {"type": "array", "items": {"type": "string"}},
        "description": "by name: the absolute path of a program, and its arguments",
        "examples": [{"db": ["/usr/bin/vault", "kv", "get", "-field=password", "secret/db"]}]},
      "environment": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": ["HOME", "PATH", "USER"],
        "description": "variables of the client that the commands get; they get no others"},
      "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 3600, "default": 30,
        "description": "a command that takes longer is ended"},
      "max_bytes": {"type": "integer", "minimum": 1, "maximum": 4194304, "default": 1048576,
        "description": "a command that prints more is ended"},
      "cut_newline": {"type": "boolean", "default": true,
        "description": "whether the line end that most commands print last is left out"}}})";

  CommandSecrets(Host& host, std::string_view settings) : host_(host), settings_(settings) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"cmd"}; }

  UniqueFd open(std::string_view scheme, std::string_view rest, SecretContext& ctx) override {
    if (scheme != "cmd")
      throw Error(Code::unsupported, "scheme '" + std::string(scheme) + "' is not served by the command provider");
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
    if (rest.substr(0, 2) == "//") rest.remove_prefix(2);
    const auto found = settings_.commands.find(rest);
    if (found == settings_.commands.end()) throw_unknown(rest);
    return run(host_, {found->first, found->second, environment(ctx)}, settings_.limits, ctx);
  }

 private:
  [[noreturn]] void throw_unknown(std::string_view name) const {
    std::string known;
    for (const auto& command : settings_.commands) known += (known.empty() ? "" : ", ") + command.first;
    throw Error(Code::not_found, "secret cmd:" + last_lines(name, 100) + " is none of the commands in the settings" +
                                     (known.empty() ? ", which name none" : "; known are " + known));
  }

  std::vector<std::string> environment(SecretContext& ctx) const {
    std::vector<std::string> out;
    for (const auto& name : settings_.environment)
      if (const auto value = ctx.client_env(name); value && value->find('\0') == std::string::npos)
        out.push_back(name + "=" + *value);
    return out;
  }

  Host& host_;
  const Settings settings_;
};

}  // namespace
}  // namespace secret_command

DAGGER_PLUGIN(dagger::plugin::SecretProvider, secret_command::CommandSecrets, "command", "1.0.0", "Example Ltd");
