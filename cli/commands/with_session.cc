#include "cli/commands/with_session.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <optional>

#include "cli/render/line_writer.h"
#include "cli/render/lines.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/runner/config/config.h"
#include "core/runner/host.h"
#include "core/session/provision.h"
#include "core/session/session.h"

extern char** environ;

namespace dagger::cli {
namespace {

constexpr const char* version_label = "dagger.io/sdk.version";
constexpr std::size_t max_unshown = 16 << 20;  // bytes of events

// Blocked before any thread starts, so that only the fd gets them. nohup's wish is kept.
UniqueFd take_signals(const Inherited& inherited) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM}) ::sigaddset(&set, number);
  if (::sigismember(&inherited.ignored, SIGHUP) == 0) ::sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("signalfd");
  return fd;
}

std::string current_directory() {
  char path[4096];
  if (::getcwd(path, sizeof path) == nullptr) throw_errno("find the current directory");
  return path;
}

struct Outer {
  std::uint16_t port;
  std::string token;
};
std::optional<Outer> outer_session(const session::Client& client) {
  const auto* port = client.variable("DAGGER_SESSION_PORT");
  if (port == nullptr || port->empty()) return std::nullopt;
  Outer outer{};
  const auto* end = port->data() + port->size();
  if (std::from_chars(port->data(), end, outer.port).ptr != end || outer.port == 0)
    throw Error(Code::invalid_argument,
                "DAGGER_SESSION_PORT=" + *port + " is no port: unset it to start a new session");
  const auto* token = client.variable("DAGGER_SESSION_TOKEN");
  if (token == nullptr || token->empty())
    throw Error(Code::invalid_argument, "DAGGER_SESSION_PORT is set, but DAGGER_SESSION_TOKEN is not");
  outer.token = *token;
  return outer;
}

session::Client make_client(const Globals& globals, SessionSetup setup) {
  if (!globals.workdir.empty() && ::chdir(globals.workdir.c_str()) != 0)
    throw_errno("change to --workdir " + globals.workdir);
  session::Client client;
  client.workdir = current_directory();
  client.env = process_environment();
  client.labels = std::move(setup.labels);
  client.version = std::move(setup.version);
  for (const auto& [key, value] : client.labels)
    if (key == version_label && client.version.empty()) client.version = value;
  return client;
}

// The configured one is the runner's, which is root's as a rule.
std::string session_state_dir(const runner::Config& config, const runner::ConfigContext& context) {
  return context.uid == 0 ? config.state_dir : runner::default_state_dir(context);
}

// The whole of one command: members in the order in which they may use each other.
class Run {
 public:
  Run(const Globals& globals, SessionSetup setup, int interrupted, Task<int> (*body)(SessionContext&, void*),
      void* argument)
      : globals_(globals),
        signals_(take_signals(globals.inherited)),
        client_(make_client(globals, std::move(setup))),
        exit_code_(interrupted),
        body_(body),
        argument_(argument),
        log_(globals.debug ? Level::debug : Level::warn, STDERR_FILENO),
        progress_(STDERR_FILENO),
        work_(loop_) {}

  int run() {
    watch_signals();
    work_.spawn(all());
    loop_.run();
    if (error_) std::rethrow_exception(error_);
    return exit_code_;
  }

 private:
  Task<void> all() {
    try {
      if (const auto outer = outer_session(client_))
        co_await run_body(outer->port, outer->token);
      else
        co_await run_session();
    } catch (...) {
      if (!stop_.requested()) error_ = std::current_exception();
    }
    signal_watch_.cancel();
    loop_.stop();
  }

  Task<void> run_session() {
    std::string state_dir;
    auto read = [&] {
      const auto context = runner::process_config_context(globals_.config_file, globals_.install_dir);
      config_ = runner::load_config(context);
      state_dir = session_state_dir(config_, context);
    };
    co_await on_pool(loop_, requests_, std::ref(read));
    if (client_.version.empty()) client_.version = config_.sdk_version;
    link::Transport transport(loop_, log_);
    auto peer =
        co_await provide_runner(loop_, files_, spawner_, transport, client_, provision_options(), stop_.token());
    plugin::Registry plugins({config_.plugin_dirs, std::move(state_dir), globals_.install_dir}, log_, spawner_);
    auto load = [&] {
      for (const auto& choice : config_.secrets) plugins.load("secret", choice);
    };
    co_await on_pool(loop_, requests_, std::ref(load));
    session::SessionOptions options;
    options.client = client_;
    session::Session session(loop_, files_, requests_, spawner_, plugins, std::move(peer), std::move(options),
                             [this](std::string events) { show(std::move(events)); });
    std::exception_ptr error;
    try {
      const auto port = co_await session.start(stop_.token());
      co_await run_body(port, session.token());
    } catch (...) {
      error = std::current_exception();
    }
    co_await session.stop();
    if (error) std::rethrow_exception(error);
  }

  Task<void> run_body(std::uint16_t port, std::string token) {
    SessionContext context{loop_, requests_, spawner_, port, std::move(token), stop_.token(), on_signal_};
    exit_code_ = co_await body_(context, argument_);
  }

  session::ProvisionOptions provision_options() const {
    session::ProvisionOptions options;
    options.program = globals_.program;
    options.version = globals_.version;
    options.check_can_start = runner::check_privileges;
    options.runner_host = config_.runner_host;
    options.log_file = config_.log_file.empty() ? config_.state_dir + "/runner.log" : config_.log_file;
    if (!globals_.config_file.empty()) options.runner_args = {"--config", globals_.config_file};
    options.peer.software = "dagger " + globals_.version;
    options.peer.labels = client_.labels;
    return options;
  }

  void watch_signals() {
    signal_watch_ = loop_.when_readable(signals_.get(), [this] {
      signalfd_siginfo info{};
      while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
        const Signal got{static_cast<int>(info.ssi_signo), info.ssi_code == SI_KERNEL};
        stop_.request("interrupted");
        if (on_signal_) on_signal_(got);
      }
      watch_signals();
    });
  }

  // On a thread of its own; what it cannot take in time is left out.
  void show(std::string events) {
    if (globals_.silent || unshown_ > max_unshown) return;
    unshown_ += events.size();
    render_.submit([this, events = std::move(events)] {
      std::string text;
      try {
        for (const auto& event : cbor::unpack<link::Events>(events).events) text += lines_.add(event);
      } catch (const Error& error) {
        log_.warn(std::string("progress: ") + error.what());
      }
      progress_.write(text);
      unshown_ -= events.size();
    });
  }

  const Globals& globals_;
  UniqueFd signals_;
  session::Client client_;
  int exit_code_;
  Task<int> (*body_)(SessionContext&, void*);
  void* argument_;
  std::exception_ptr error_;
  Log log_;
  LineWriter progress_;
  Lines lines_;  // of the thread of render_
  std::atomic<std::size_t> unshown_ = 0;
  Pool render_{"progress", 1};
  runner::Config config_;
  Spawner spawner_;
  Loop loop_;
  Pool files_{"files", 4}, requests_{"requests", 2};
  CancelSource stop_;
  Function<void(const Signal&)> on_signal_;
  Loop::Handle signal_watch_;
  TaskGroup work_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) all.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

int with_session(const Globals& globals, SessionSetup setup, int interrupted, Task<int> (*body)(SessionContext&, void*),
                 void* argument) {
  return Run(globals, std::move(setup), interrupted, body, argument).run();
}

}  // namespace dagger::cli
