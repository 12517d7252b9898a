// dagger-plugin-host — the process of an isolated plugin: loads one plugin file and serves the engine's calls of it.
//
// A program of its own, not the engine started again: it links only what loading a plugin needs, so it starts faster
// and holds less memory. fd 3 is the engine's control socket; the end of it is the end of this process. stdout and
// stderr are a socket that the engine reads into its log.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/base/process.h"
#include "core/base/threads.h"
#include "core/plugin/blame.h"
#include "core/plugin/file_checks.h"
#include "core/plugin/isolation/host/server.h"
#include "core/plugin/isolation/log_reader.h"

namespace dagger::plugin::isolation {
namespace {

constexpr int control_fd = 3;
constexpr std::size_t max_line = 4096;

void write_log(LogLevel level, std::string_view line) {
  std::string packet = {log_mark, static_cast<char>('0' + static_cast<int>(level))};
  packet += line.substr(0, max_line);
  ::send(STDERR_FILENO, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL);  // lost where nobody reads
}

// The engine has checked the file, its digest as well; once more what may have changed since.
LoadedPlugin load(const Start& start, Spawner& spawner) {
  CheckedFile file{start.path, read_plugin_file_fd(open_trusted(start.path).get())};
  check_compatible(file.contents.manifest, start.kind, start.use);
  PluginChoice choice;
  choice.use = start.use, choice.settings = start.settings;
  return run_plugin(file, choice, [&](const Manifest&) {
    return std::make_unique<HostServices>(start.state_dir, start.install_dir, write_log, spawner);
  });
}

int run(std::string_view engine_protocol) {
  ::fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  const auto blocked = all_but_fatal_signals();
  ::pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  install_crash_reporter();
  Channel control{UniqueFd(control_fd)};
  const auto first = control.receive();
  if (!first || first->kind != Kind::call) return 2;
  if (engine_protocol != protocol) {
    control.fail(
        Error(Code::unsupported, "dagger-plugin-host was replaced since the engine has started; start it again"));
    return 0;
  }
  Spawner spawner;
  LoadedPlugin plugin;
  try {
    plugin = load(cbor::unpack<Start>(first->body), spawner);
    control.send(Kind::reply, Method::start, cbor::pack(describe(plugin)));
  } catch (const Error& e) {
    control.fail(e);
    return 0;
  }
  {
    Server server(*plugin.instance, plugin.manifest);
    while (auto message = control.receive())
      if (message->fds.size() == 2) server.serve(std::move(message->fds[0]), std::move(message->fds[1]));
  }
  const auto label = plugin.manifest.label();
  const Blame blame(label.c_str(), "destructor");
  plugin.instance.reset();
  return 0;
}

}  // namespace
}  // namespace dagger::plugin::isolation

int main(int argc, char** argv) {
  try {
    return dagger::plugin::isolation::run(argc > 0 ? argv[argc - 1] : "");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "dagger-plugin-host: %s; it is started by the engine\n", e.what());
    return 2;
  }
}
