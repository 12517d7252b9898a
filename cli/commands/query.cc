// dagger query: one GraphQL request from a file, stdin or the command line; its data as JSON on stdout.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands/with_session.h"
#include "cli/http_post.h"
#include "core/base/fs.h"
#include "core/base/json.h"

namespace dagger::cli {
namespace {

constexpr std::size_t max_document = 32 << 20;
constexpr int exit_interrupted = 2;
constexpr int indentation = 4;

struct Options {
  std::string operation;  // its name; or the document itself
  std::string file, variables_json;
  std::vector<std::string> variables;
  bool focus = false;  // has no effect
};

std::string document_of(Options& options) {
  if (options.operation.find('{') != std::string::npos) return std::exchange(options.operation, {});
  if (!options.file.empty() && options.file != "-") return dagger::read_file(options.file, max_document);
  if (::isatty(STDIN_FILENO) != 0 && options.file.empty())
    throw Error(Code::invalid_argument, "no query: give it as an argument, by --doc FILE, or on stdin");
  return read_all(STDIN_FILENO, max_document);
}

nlohmann::json variables_of(const Options& options) {
  auto variables = nlohmann::json::object();
  for (const auto& entry : options.variables) {
    const auto equals = entry.find('=');
    if (equals == std::string::npos)
      throw Error(Code::invalid_argument, "--var " + entry + ": write it like name=value");
    variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  if (options.variables_json.empty()) return variables;
  const auto more = parse_json(options.variables_json, "--var-json");
  if (!more.is_object()) throw Error(Code::invalid_argument, "--var-json: must be a JSON object");
  variables.update(more);
  return variables;
}

// Prints the data; throws what the errors say.
void print(const std::string& body) {
  const auto answer = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!answer.is_object()) throw Error(Code::unavailable, "the session's answer is not JSON");
  if (const auto errors = answer.find("errors"); errors != answer.end() && errors->is_array() && !errors->empty()) {
    std::string all;
    for (const auto& error : *errors) {
      if (!all.empty()) all += "\n";
      all += error.is_object() ? error.value("message", "") : "";
    }
    throw Error(Code::invalid_argument, "make request: " + all);
  }
  write_all(STDOUT_FILENO, answer.value("data", nlohmann::ordered_json()).dump(indentation) + "\n");
}

Task<int> ask(SessionContext& context, void* argument) {
  const auto& request = *static_cast<const std::string*>(argument);
  auto post = [&] { return post_query(context.port, context.token, request, context.stop); };
  print(co_await on_pool(context.loop, context.pool, std::ref(post)));
  co_return 0;
}

}  // namespace

void add_query(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("query", "Send one GraphQL query and print its data");
  auto options = std::make_shared<Options>();
  command->add_option("operation", options->operation, "The query itself, or the name of an operation in it");
  command->add_option("--doc", options->file, "Read the query from a file (-: stdin)");
  command->add_option("--var", options->variables, "NAME=VALUE, a variable of type String; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--var-json", options->variables_json, "Variables as a JSON object; wins over --var");
  command->add_flag("--focus", options->focus, "Accepted for older scripts");
  command->callback([options, &globals] {
    nlohmann::json request;
    request["query"] = document_of(*options);
    request["operationName"] = options->operation;
    request["variables"] = variables_of(*options);
    auto text = request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    globals.exit_code = with_session(globals, {}, exit_interrupted, ask, &text);
  });
}

}  // namespace dagger::cli
