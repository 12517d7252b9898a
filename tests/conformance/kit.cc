#include "tests/conformance/kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <clocale>
#include <filesystem>
#include <future>
#include <thread>

namespace dagger::conformance {
namespace {

using namespace std::chrono_literals;

std::string read_proc(const std::string& file) { return read_file("/proc/self/" + file, 16 << 20); }

std::string signal_actions() {
  std::string text;
  for (int s = 1; s < NSIG; ++s) {
    struct sigaction a{};
    if (::sigaction(s, nullptr, &a) != 0) continue;
    text += std::to_string(s) + "=" + std::to_string(reinterpret_cast<std::uintptr_t>(a.sa_handler)) + " ";
  }
  return text;
}

std::string environment_text() {
  std::string text;
  for (char** e = ::environ; *e != nullptr; ++e) text += std::string(*e) + "\n";
  return text;
}

std::size_t count_threads() {
  const auto all = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::vector<std::string> missing_from(const std::vector<std::string>& some, const std::vector<std::string>& all) {
  std::vector<std::string> lacking;
  std::set_difference(some.begin(), some.end(), all.begin(), all.end(), std::back_inserter(lacking));
  return lacking;
}

constexpr auto patience = 2s;

}  // namespace

Loaded::Loaded(const Options& options, const plugin::Manifest& manifest, const std::string& config)
    : state_(options.dir),
      log_(Level::off, STDERR_FILENO),
      registry_({{}, state_.path(), options.install_dir}, log_, spawner_) {
  plugin::PluginChoice choice;
  choice.use = manifest.name, choice.file = options.file, choice.settings = config;
  choice.isolation = options.isolated ? plugin::Isolation::process : plugin::Isolation::none;
  registry_.load(manifest.kind, choice);
}

std::string outcome(const std::function<void()>& call) {
  try {
    call();
    return {};
  } catch (const Error& e) {
    if (e.code() == Code::plugin_fault) throw Broken{e.what()};
    return std::string(code_name(e.code())) + ": " + e.what();
  }
}

std::optional<Code> error_of(const std::function<void()>& call) {
  std::optional<Code> code;
  outcome([&] {
    try {
      call();
    } catch (const Error& e) {
      code = e.code();
      throw;
    }
  });
  return code;
}

void on_8_threads(const std::function<void(int)>& f) {
  std::vector<std::future<void>> all;
  for (int i = 0; i < 8; ++i) all.push_back(std::async(std::launch::async, [&f, i] { f(i); }));
  for (auto& one : all) one.wait();
  for (auto& one : all) one.get();
}

void expect_prompt_cancel(const Kit& kit, const std::function<void(CancelToken)>& f) {
  for (const auto delay : {0ms, 100ms}) {
    CancelSource source;
    if (delay == 0ms) source.request("conformance");
    std::string happened;
    auto done = std::async(std::launch::async, [&] {
      try {
        f(source.token());
      } catch (const Error& e) {
        if (e.code() != Code::cancelled && source.requested())
          happened = std::string(code_name(e.code())) + ": " + e.what();
      }
    });
    if (delay != 0ms && done.wait_for(delay) != std::future_status::ready) source.request("conformance");
    if (done.wait_for(patience) != std::future_status::ready)
      kit.give_up("a call still ran 2 s after it was cancelled");
    done.get();
    expect(happened.empty(), "a cancelled call ended as " + happened);
  }
}

Footprint Footprint::now() {
  Footprint f;
  for (const auto& e : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(e.path(), gone).string();
    if (gone || target.rfind("/proc/", 0) == 0) continue;  // the fd of this iteration
    f.fds.push_back(e.path().filename().string() + " " + target);
  }
  std::sort(f.fds.begin(), f.fds.end());
  f.threads = count_threads();
  f.cwd = std::filesystem::current_path();
  f.environment = environment_text();
  f.locale = std::setlocale(LC_ALL, nullptr);
  f.signals = signal_actions();
  f.mounts = read_proc("mountinfo");
  f.umask = ::umask(022);
  ::umask(f.umask);
  return f;
}

std::string Footprint::difference(const Footprint& after, bool with_threads) const {
  if (after.cwd != cwd) return "the working directory is " + after.cwd + " now";
  if (after.umask != umask) return "the umask changed";
  if (after.environment != environment) return "the environment changed";
  if (after.locale != locale) return "the locale is " + after.locale + " now";
  if (after.signals != signals) return "a signal handler changed";
  if (after.mounts != mounts) return "mounts changed";
  if (const auto leaked = missing_from(after.fds, fds); !leaked.empty()) return "this fd is open now: " + leaked[0];
  if (const auto closed = missing_from(fds, after.fds); !closed.empty()) return "this fd is closed now: " + closed[0];
  if (with_threads && after.threads > threads) return std::to_string(after.threads - threads) + " threads are left";
  return {};
}

std::string inheritable_fds(const std::vector<std::string>& known) {
  for (const auto& fd : Footprint::now().fds) {
    const int number = std::stoi(fd);
    if (number <= 2 || std::find(known.begin(), known.end(), fd) != known.end()) continue;
    if (const int flags = ::fcntl(number, F_GETFD); flags >= 0 && (flags & FD_CLOEXEC) == 0) return fd;
  }
  return {};
}

}  // namespace dagger::conformance
