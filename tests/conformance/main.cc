// dagger-plugin-conformance FILE.so [options] — does this plugin keep what the headers promise?
//
// This process only reads the file; every check runs in a child that loads the plugin, so that a crash, a hang or a
// changed working directory is the result of one check and nothing else. Exit code: 0 all kept, 1 something broken, 2
// cannot be checked.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <iterator>
#include <sstream>

#include "core/plugin/blame.h"
#include "core/plugin/file_checks.h"
#include "tests/conformance/kit.h"

namespace dagger::conformance {
namespace {

constexpr const char* usage = R"(usage: dagger-plugin-conformance FILE.so [options]
  --config JSON        the plugin's settings (default {})
  --dir DIR            scratch space, on a file system where layers may live (default $TMPDIR or /tmp)
  --install-dir DIR    of the engine (default: the parent of this program's directory)
  --ref SCHEME:REST    sources, secret providers: a reference that must work; may be repeated
  --command "A B"      executors: a command that prints "conformance" and ends with 0
  --long-command "A"   executors: a command that runs until it is killed
  --rootfs DIR         local executors: a root directory with those commands
  --isolated           in a process of its own, as with isolation = "process"
  --only TEXT          only checks whose name contains TEXT
  --list               names the checks and what they promise
)";

constexpr int seconds_per_check = 60;

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

struct Arguments {
  Options options;
  bool list = false;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  const char* tmp = std::getenv("TMPDIR");
  a.options.dir = tmp != nullptr ? tmp : "/tmp";
  a.options.install_dir = parent_path(parent_path(plugin::canonical_path("/proc/self/exe")));
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto value = [&]() -> std::string {
      if (++i >= argc) throw Error(Code::invalid_argument, name + " needs a value");
      return argv[i];
    };
    if (name == "--config")
      a.options.config = value();
    else if (name == "--dir")
      a.options.dir = value();
    else if (name == "--install-dir")
      a.options.install_dir = value();
    else if (name == "--ref")
      a.options.refs.push_back(value());
    else if (name == "--command")
      a.options.command = words(value());
    else if (name == "--long-command")
      a.options.long_command = words(value());
    else if (name == "--rootfs")
      a.options.rootfs = value();
    else if (name == "--only")
      a.options.only = value();
    else if (name == "--isolated")
      a.options.isolated = true;
    else if (name == "--list")
      a.list = true;
    else if (name.rfind("--", 0) == 0 || !a.options.file.empty())
      throw Error(Code::invalid_argument, "unknown argument " + name);
    else
      a.options.file = name;
  }
  if (a.options.file.empty()) throw Error(Code::invalid_argument, "no plugin file");
  return a;
}

Checks checks_for(const std::string& kind) {
  Checks checks;
  add_file_checks(checks);
  add_common_checks(checks);
  if (kind == "source") add_source_checks(checks);
  if (kind == "snapshotter") add_snapshotter_checks(checks);
  if (kind == "executor") add_executor_checks(checks);
  if (kind == "network") add_network_checks(checks);
  if (kind == "cache") add_cache_checks(checks);
  if (kind == "secret") add_secret_checks(checks);
  return checks;
}

struct Result {
  enum Kind { kept, skipped, broken } kind = broken;
  std::string text;
};

// Children that the check left behind; this process became their parent.
bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

// In the child: one letter and a text, to the parent.
std::string run_here(const Check& check, const Kit& kit) {
  try {
    check.run(kit);
    if (has_children()) return "Ba child process is left, running or not waited for";
    return "K";
  } catch (const Broken& b) {
    return "B" + b.happened;
  } catch (const Skipped& s) {
    return "S" + s.why;
  } catch (const std::exception& e) {
    return std::string("B") + e.what();
  } catch (...) {
    return "Ba non-standard exception";
  }
}

std::string read_back(int fd) {
  ::lseek(fd, 0, SEEK_SET);
  return read_all(fd, 1 << 20);
}

Result run_in_child(const Check& check, const Kit& kit) {
  // Files, not pipes: nothing can block on them, and they survive a crash.
  const UniqueFd answer(::memfd_create("answer", MFD_CLOEXEC)), output(::memfd_create("output", MFD_CLOEXEC));
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    plugin::install_crash_reporter();
    const auto finish = [&](const std::string& text) {
      write_all(answer.get(), text);
      ::_exit(0);  // a thread of the plugin may still run
    };
    Kit here = kit;
    here.give_up = [&](const std::string& happened) { finish("B" + happened); };
    finish(run_here(check, here));
  }
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  const bool in_time = ::poll(&ended, 1, seconds_per_check * 1000) == 1;
  ::kill(-pid, SIGKILL);
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);

  const auto text = read_back(answer.get()), said = read_back(output.get());
  if (!in_time) return {Result::broken, "it did not end within " + std::to_string(seconds_per_check) + " s"};
  if (WIFSIGNALED(status))
    return {Result::broken, "it crashed with signal " + std::to_string(WTERMSIG(status)) + "\n" + said};
  if (text.empty())
    return {Result::broken, "the plugin ended the process with exit code " + std::to_string(WEXITSTATUS(status))};
  if (text[0] == 'B') return {Result::broken, text.substr(1)};
  if (!said.empty()) return {Result::broken, "the plugin wrote to stdout or stderr: " + said};
  return {text[0] == 'S' ? Result::skipped : Result::kept, text.substr(1)};
}

int run_all(const Kit& kit, const Checks& checks) {
  int broken = 0, kept = 0, skipped = 0;
  for (const auto& check : checks) {
    if (check.name.find(kit.options.only) == std::string::npos) continue;
    const auto result = run_in_child(check, kit);
    if (result.kind == Result::kept) {
      ++kept;
      std::cout << "kept     " << check.name << "\n";
    } else if (result.kind == Result::skipped) {
      ++skipped;
      std::cout << "skipped  " << check.name << ": " << result.text << "\n";
    } else {
      ++broken;
      std::cout << "BROKEN   " << check.name << "\n  promise:  " << check.promise << "\n  happened: " << result.text
                << "\n  read:     " << check.read << "\n";
    }
    std::cout.flush();
  }
  std::cout << kit.manifest.label() << ": " << kept << " kept, " << broken << " broken, " << skipped << " skipped\n";
  return broken == 0 ? 0 : 1;
}

int run(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::cout << usage;
    return 0;
  }
  auto arguments = parse(argc, argv);
  Kit kit(std::move(arguments.options));
  plugin::PluginChoice any;
  const auto file = plugin::check_plugin_file(kit.options.file, "", any);
  kit.options.file = file.path;
  kit.manifest = file.contents.manifest;
  const auto checks = checks_for(kit.manifest.kind);
  if (!arguments.list) return run_all(kit, checks);
  for (const auto& check : checks) std::cout << check.name << ": " << check.promise << " (" << check.read << ")\n";
  return 0;
}

}  // namespace
}  // namespace dagger::conformance

int main(int argc, char** argv) {
  try {
    return dagger::conformance::run(argc, argv);
  } catch (const dagger::Error& e) {
    std::cerr << "dagger-plugin-conformance: " << e.what() << "\n";
    if (argc < 2) std::cerr << dagger::conformance::usage;
    return 2;
  }
}
