#include "core/plugin/trial.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"

namespace dagger::plugin {
namespace {

using nlohmann::json;

constexpr int patience_ms = 10'000;
constexpr std::size_t max_answer = 1 << 20;

// On the file system of the engine's state, where this process may write there.
std::string place_for_scratch(std::string dir) {
  while (dir != "/" && ::access(dir.c_str(), W_OK) != 0) dir = parent_path(dir);
  return dir == "/" ? "/tmp" : dir;
}

class Scratch {
 public:
  explicit Scratch(const std::string& near) : path_(place_for_scratch(near) + "/.dagger-trial-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw_errno("make " + path_);
  }
  ~Scratch() {
    try {
      remove_tree(path_);
    } catch (const Error&) {  // it is empty but for what a plugin left there
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

std::vector<std::string> each(const char* word, const std::vector<std::string>& names) {
  std::vector<std::string> all;
  for (const auto& name : names) all.push_back(std::string(word) + " " + name);
  return all;
}

std::vector<std::string> abilities_of(const Registry& plugins, std::string_view kind) {
  if (kind == Source::kind) return each("scheme", plugins.source_schemes());
  if (kind == SecretProvider::kind) return each("scheme", plugins.secret_schemes());
  if (kind == Network::kind) return each("class", plugins.network_classes());
  if (kind == Snapshotter::kind) {
    const auto traits = plugins.snapshotter().traits();
    auto all = each("reads", traits.reads);
    all.push_back("writes " + traits.writes);
    return all;
  }
  if (kind != Executor::kind) return {};
  auto& executor = plugins.executor();
  const auto traits = executor.traits();
  auto all = each("platform", traits.platforms);
  if (executor.capability(LocalExecutor::capability_id) != nullptr) all.emplace_back(LocalExecutor::capability_id);
  if (traits.devices) all.emplace_back("devices");
  if (traits.limits) all.emplace_back("limits");
  return all;
}

// In the child.
json answer(const RegistryOptions& options, std::string_view kind, const PluginChoice& choice) {
  Log log(Level::off, STDERR_FILENO);
  Spawner spawner;
  try {
    Registry plugins(options, log, spawner);
    plugins.load(kind, choice);
    return {{"problem", ""}, {"abilities", abilities_of(plugins, kind)}};
  } catch (const Error& e) {
    return {{"problem", e.what()}, {"code", static_cast<int>(e.code())}};
  }
}

[[noreturn]] void run_child(int answer_fd, const RegistryOptions& options, std::string_view kind,
                            const PluginChoice& choice) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0)
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  try {
    write_all(answer_fd, answer(options, kind, choice).dump(-1, ' ', false, json::error_handler_t::replace));
  } catch (...) {  // then there is no answer, and the parent says so
  }
  ::_exit(0);
}

Trial broken(std::string problem) { return {std::move(problem), Code::plugin_fault, {}}; }

Trial parse_answer(int fd) {
  ::lseek(fd, 0, SEEK_SET);
  const auto said = json::parse(read_all(fd, max_answer), nullptr, false);
  if (!said.is_object()) return broken("it ended the process that tried it");
  Trial trial;
  trial.problem = said.value("problem", "");
  trial.code = static_cast<Code>(said.value("code", static_cast<int>(Code::internal)));
  trial.abilities = said.value("abilities", std::vector<std::string>());
  return trial;
}

}  // namespace

Trial try_plugin(const RegistryOptions& options, std::string_view kind, const PluginChoice& choice) try {
  const Scratch scratch(options.state_dir);
  auto own = options;
  own.state_dir = scratch.path();
  const UniqueFd said(::memfd_create("answer", MFD_CLOEXEC));
  const pid_t pid = ::fork();
  if (!said || pid < 0) throw_errno("start a process that tries the plugin");
  if (pid == 0) run_child(said.get(), own, kind, choice);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  const bool in_time = ::poll(&ended, 1, patience_ms) == 1;
  ::kill(-pid, SIGKILL);  // and what it started
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!in_time) return broken("its constructor did not return within " + std::to_string(patience_ms / 1000) + " s");
  if (WIFSIGNALED(status)) return broken("it crashed: signal " + std::to_string(WTERMSIG(status)));
  return parse_answer(said.get());
} catch (const Error& e) {
  return {e.what(), e.code(), {}};
}

}  // namespace dagger::plugin
