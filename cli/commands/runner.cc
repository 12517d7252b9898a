// dagger runner: the daemon. Started by hand, by a service manager, or on demand by a session.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "cli/commands/commands.h"
#include "cli/commands/runner_flags.h"
#include "core/base/fs.h"
#include "core/runner/host.h"

namespace dagger::cli {
namespace {

struct Options {
  RunnerFlags flags;
  bool on_demand = false;
};

Level level_of(const std::string& name) {
  constexpr std::pair<const char*, Level> names[] = {{"trace", Level::trace}, {"debug", Level::debug},
                                                     {"info", Level::info},   {"warn", Level::warn},
                                                     {"error", Level::error}, {"off", Level::off}};
  for (const auto& [text, level] : names)
    if (name == text) return level;
  return Level::info;
}

// SIGTERM and SIGINT as an fd of the loop. Blocked before any thread is started, so that no other thread gets them.
UniqueFd stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("signalfd");
  return fd;
}

void serve(const Globals& globals, const Options& options) {
  runner::check_privileges();
  const auto signals = stop_signals();
  auto config = runner::load_config(runner::process_config_context(globals.config_file, globals.install_dir));
  apply(options.flags, config);
  if (config.listen.addresses.empty())
    throw Error(
        Code::invalid_argument,
        "nowhere to listen: give --listen unix:///path or tcp://host:port, or [listen] addresses in the configuration");
  const Level level = globals.debug ? Level::debug : level_of(config.log_level);
  const auto log = config.log_file.empty() ? std::make_unique<Log>(level, STDERR_FILENO)
                                           : std::make_unique<Log>(level, config.log_file.c_str());

  Loop loop;
  runner::Host host(loop, *log, std::move(config), {globals.version, globals.install_dir, options.on_demand});
  host.listen();
  const auto on_signal = loop.when_readable(signals.get(), [&host] { host.stop("signal"); });
  loop.run();
}

}  // namespace

void add_runner(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("runner", "Run the daemon that executes containers and keeps the cache");
  auto options = std::make_shared<Options>();
  add_runner_flags(*command, options->flags);
  command->add_flag("--on-demand", options->on_demand, "Started by a session: end when idle");
  command->callback([options, &globals] { serve(globals, *options); });
}

}  // namespace dagger::cli
