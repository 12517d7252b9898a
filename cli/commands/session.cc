// dagger session: a session for a program that reads where it listens from the first line of stdout, as SDKs do.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/commands/with_session.h"
#include "core/base/fs.h"

namespace dagger::cli {
namespace {

struct Options {
  std::vector<std::string> labels;
  std::string version;
  std::vector<std::string> ignored;
};

// Calls ended on the loop when stdin is at its end. A thread of its own: stdin may be a file, which no loop can wait
// for.
class StdinWatch {
 public:
  StdinWatch(Loop& loop, OneShot<Unit> ended)
      : stop_(::eventfd(0, EFD_CLOEXEC)), thread_([this, &loop, ended] {
          if (read_to_end()) loop.post([ended] { ended.set({}); });
        }) {}
  ~StdinWatch() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }

 private:
  bool read_to_end() {
    char ignored[4096];
    pollfd watched[2] = {{STDIN_FILENO, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(watched, 2, -1) < 0 && errno != EINTR) return true;
      if (watched[1].revents != 0) return false;
      if (watched[0].revents == 0) continue;
      const auto got = ::read(STDIN_FILENO, ignored, sizeof ignored);
      if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return true;
    }
  }
  UniqueFd stop_;
  std::thread thread_;
};

Task<int> serve(SessionContext& context, void*) {
  const nlohmann::json parameters = {{"port", context.port}, {"session_token", context.token}};
  write_all(STDOUT_FILENO, parameters.dump() + "\n");
  OneShot<Unit> over(context.loop);
  const auto on_stop = context.stop.on_cancel([over] { over.set({}); });
  const StdinWatch watch(context.loop, over);
  co_await over;
  co_return 0;
}

std::vector<std::pair<std::string, std::string>> pairs_of(const std::vector<std::string>& labels) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& label : labels) {
    const auto colon = label.find(':');
    pairs.emplace_back(label.substr(0, colon), colon == std::string::npos ? "" : label.substr(colon + 1));
  }
  return pairs;
}

}  // namespace

void add_session(CLI::App& app, Globals& globals) {
  auto* command = app.add_subcommand("session", "Start a session for a program that talks to it (SDKs do this)");
  auto options = std::make_shared<Options>();
  command->add_option("--label", options->labels, "KEY:VALUE about the client; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--version", options->version, "Version of the API that the client was made for");
  command->add_option("--project,--workspace,-W", options->ignored, "Accepted for SDKs that give it")
      ->allow_extra_args(false);
  command->allow_extras();  // SDKs of every generation pass flags of their own
  command->fallthrough(false);
  add_global_options(*command, globals);
  command->callback([options, &globals] {
    SessionSetup setup;
    setup.labels = pairs_of(options->labels);
    setup.version = options->version;
    globals.exit_code = with_session(globals, std::move(setup), 0, serve, nullptr);
  });
}

}  // namespace dagger::cli
