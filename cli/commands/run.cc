// dagger run CMD...: a command with a session around it.
#include <signal.h>

#include <algorithm>
#include <optional>

#include <CLI/CLI.hpp>

#include "cli/commands/with_session.h"
#include "core/base/fs.h"
#include "core/session/session.h"

namespace dagger::cli {
namespace {

constexpr int exit_interrupted = 2;

struct Options {
  std::vector<std::string> command;
  double cleanup_seconds = 10;
  bool focus = false;
  const Inherited* inherited = nullptr;
};

std::string find_command(const std::string& name) {
  const char* path = ::getenv("PATH");
  auto found = find_program(name, path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path);
  if (found.empty()) throw Error(Code::not_found, "command \"" + name + "\" not found in PATH");
  return found;
}

// Names a trace that begins here. SDKs since 0.11 hand it on with each request, which tells them from older ones.
std::string new_trace() {
  auto ids = session::random_token() + session::random_token();
  std::erase(ids, '-');
  return "00-" + ids.substr(0, 32) + "-" + ids.substr(32, 16) + "-01";
}

std::vector<std::string> environment(const SessionContext& context) {
  std::vector<std::string> env;
  bool traced = false;
  for (const auto& [name, value] : process_environment()) {
    const bool trace = name == "TRACEPARENT";
    if (name == "DAGGER_SESSION_PORT" || name == "DAGGER_SESSION_TOKEN" || (trace && value.empty())) continue;
    traced = traced || trace;
    env.push_back(name + "=" + value);
  }
  if (!traced) env.push_back("TRACEPARENT=" + new_trace());
  env.push_back("DAGGER_SESSION_PORT=" + std::to_string(context.port));
  env.push_back("DAGGER_SESSION_TOKEN=" + context.token);
  return env;
}

Task<int> run_command(SessionContext& context, void* argument) {
  const auto& options = *static_cast<const Options*>(argument);
  SpawnRequest request;
  request.argv = options.command;
  request.env = environment(context);
  for (const int fd : {0, 1, 2}) request.stdio[fd] = fd;
  request.cwd = ".";
  request.inherited = options.inherited;
  std::optional<Signal> early;  // before the child was there to get it
  context.on_signal = [&](const Signal& got) { early = got; };
  Child child;
  auto start = [&] {
    request.argv[0] = find_command(options.command[0]);
    child = context.spawner.spawn(request);
  };
  co_await on_pool(context.loop, context.pool, std::ref(start));

  OneShot<Unit> ended(context.loop);
  const auto watch = context.loop.when_readable(child.fd(), [ended] { ended.set({}); });
  const auto grace = std::chrono::milliseconds(static_cast<long>(options.cleanup_seconds * 1000));
  Loop::Handle kill;
  context.on_signal = [&](const Signal& got) {
    if (!got.from_terminal) child.signal(got.number);
    if (!kill.active()) kill = context.loop.after(grace, [&child] { child.signal(SIGKILL); });
  };
  if (early) context.on_signal({early->number, false});
  co_await ended;
  context.on_signal = {};
  const auto status = child.wait();
  co_return status.exited ? status.code : 128 + status.code;
}

double seconds_of(const std::string& text) {
  std::size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const auto unit = text.substr(used);
  const double factor = unit.empty() || unit == "s" ? 1 : unit == "ms" ? 0.001 : unit == "m" ? 60 : 0;
  if (used == 0 || value < 0 || factor == 0)
    throw Error(Code::invalid_argument, "--cleanup-timeout " + text + ": write a time like 10s, 500ms or 2m");
  return value * factor;
}

}  // namespace

void drop_run_mark(CLI::App& app, std::vector<std::string>& args) {
  const CLI::App& run = *app.get_subcommand("run");
  auto at = std::ranges::find(args, run.get_name());
  if (at == args.end()) return;
  for (++at; at != args.end() && at->starts_with("-"); ++at) {
    if (*at == "--") {
      args.erase(at);
      return;
    }
    const auto* option = run.get_option_no_throw(*at);
    if (option != nullptr && option->get_items_expected_max() > 0 && ++at == args.end()) return;
  }
}

void add_run(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("run", "Run a command with a session: dagger run node build.mjs");
  auto options = std::make_shared<Options>();
  options->inherited = &globals.inherited;
  auto timeout = std::make_shared<std::string>("10s");
  command->add_option("--cleanup-timeout", *timeout, "How long the command may take to end after a signal");
  command->add_flag("--focus", options->focus, "Accepted for older scripts");
  command->fallthrough(false);  // what follows the command belongs to it, flags too
  add_global_options(*command, globals);
  command->prefix_command();
  command->callback([command, options, timeout, &globals] {
    options->command = command->remaining();
    if (options->command.empty()) throw CLI::RequiredError("a command to run");
    options->cleanup_seconds = seconds_of(*timeout);
    globals.exit_code = with_session(globals, {}, exit_interrupted, run_command, options.get());
  });
}

}  // namespace dagger::cli
