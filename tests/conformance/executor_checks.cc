#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "core/base/digest.h"
#include "tests/conformance/kit.h"
#include "tests/support/fake_host.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* executor_h = "dagger/plugin/executor.h";

// Layers in memory, by digest.
class KitTransfer final : public LayerTransfer {
 public:
  std::unique_ptr<ByteStream> read(const Layer& layer, std::string_view) override {
    throw Error(Code::not_found, "there is no layer " + layer.id);
  }
  Layer write(ByteStream& stream, std::string_view form) override {
    std::string bytes;
    char buffer[4096];
    while (const auto n = stream.read(buffer, sizeof buffer)) bytes.append(buffer, n);
    return {Digest::of(bytes).str(), {{std::string(form), ""}}};
  }
};

struct Pipe {
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("make a pipe");
    read = UniqueFd(fds[0]), write = UniqueFd(fds[1]);
  }
  UniqueFd read, write;
};

// Starts execs the way the kind of executor wants it: a local one in --rootfs, a remote one with no layers.
class Bench {
 public:
  explicit Bench(const Kit& kit)
      : kit_(kit),
        loaded_(kit.load()),
        executor_(loaded_->registry().executor()),
        local_(static_cast<LocalExecutor*>(executor_.capability(LocalExecutor::capability_id))) {}

  bool local() const { return local_ != nullptr; }
  Executor& executor() { return executor_; }
  ExecRequest request(std::vector<std::string> args) {
    static std::atomic<int> count{0};
    ExecRequest r;
    r.exec_id = "conformance" + std::to_string(::getpid()) + "x" + std::to_string(++count);
    r.args = std::move(args);
    r.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    r.platform = "linux/amd64";
    r.network_class = "none";
    return r;
  }
  std::unique_ptr<Running> start(const ExecRequest& request, const Stdio& stdio, CallContext& ctx) {
    if (local_ == nullptr) return executor_.start(request, stdio, transfer_, ctx);
    if (kit_.options.rootfs.empty()) throw Skipped{"no --rootfs was given"};
    // One fd for all: execs of this program change nothing in it.
    if (!root_) root_ = open_file(kit_.options.rootfs, O_PATH | O_DIRECTORY);
    LocalExec exec;
    exec.root_fd = root_.get();
    exec.netns = Namespace::isolated;
    return local_->start_local(request, exec, stdio, ctx);
  }
  std::vector<std::string> command() const { return given(kit_.options.command, "--command"); }
  std::vector<std::string> long_command() const { return given(kit_.options.long_command, "--long-command"); }

 private:
  static std::vector<std::string> given(const std::vector<std::string>& args, const char* name) {
    if (args.empty()) throw Skipped{std::string("no ") + name + " was given"};
    return args;
  }
  const Kit& kit_;
  std::unique_ptr<Loaded> loaded_;
  Executor& executor_;
  LocalExecutor* local_;
  UniqueFd root_;
  KitTransfer transfer_;
};

std::string describe(const ExecStatus& s) {
  return "kind " + std::to_string(static_cast<int>(s.kind)) + ", code " + std::to_string(s.code) + ", " + s.message;
}

bool done(const Running& running, int milliseconds) {
  pollfd fd{running.done_fd(), POLLIN, 0};
  return ::poll(&fd, 1, milliseconds) == 1;
}

void run_one(Bench& bench) {
  dagger::testing::FakeContext ctx;
  Pipe out;
  auto running = bench.start(bench.request(bench.command()), {-1, out.write.get(), -1}, ctx);
  out.write.reset();
  const auto status = running->wait(ctx);
  expect(status.kind == ExitKind::exited && status.code == 0, "--command ended with " + describe(status));
  expect(done(*running, 0), "done_fd() is not readable after wait()");
  running->outputs(ctx);
  running.reset();
  const auto text = read_all(out.read.get(), 1 << 20);
  expect(text.find("conformance") != std::string::npos, "its standard output is \"" + text + "\"");
}

void local_only(const Kit& kit) {
  Bench bench(kit);
  if (!bench.local()) throw Skipped{"it is no local executor"};
  dagger::testing::FakeContext ctx;
  KitTransfer transfer;
  expect(error_of([&] { bench.executor().start(bench.request({"true"}), {}, transfer, ctx); }) == Code::unsupported,
         "start() of a local executor is not refused as unsupported");
}

void runs(const Kit& kit) {
  Bench bench(kit);
  run_one(bench);
}

void not_started(const Kit& kit) {
  Bench bench(kit);
  dagger::testing::FakeContext ctx;
  auto running = bench.start(bench.request({"/no/such/program"}), {}, ctx);
  const auto status = running->wait(ctx);
  expect(status.kind == ExitKind::not_started, "a program that does not exist ended with " + describe(status));
  expect(status.message.find("no/such/program") != std::string::npos,
         "the message does not name the program: " + status.message);
}

void killed_by_destruction(const Kit& kit) {
  Bench bench(kit);
  dagger::testing::FakeContext ctx;
  Pipe out;
  auto running = bench.start(bench.request(bench.long_command()), {-1, out.write.get(), -1}, ctx);
  out.write.reset();
  expect(!done(*running, 300), "--long-command ended by itself");
  running.reset();
  pollfd closed{out.read.get(), POLLIN, 0};
  expect(::poll(&closed, 1, 2000) == 1, "the process still holds its standard output 2 s after the exec was destroyed");
}

void signalled(const Kit& kit) {
  Bench bench(kit);
  dagger::testing::FakeContext ctx;
  auto running = bench.start(bench.request(bench.long_command()), {}, ctx);
  expect(!done(*running, 300), "--long-command ended by itself");
  running->signal(SIGKILL);
  expect(done(*running, 5000), "done_fd() is not readable 5 s after SIGKILL");
  const auto status = running->wait(ctx);
  expect(status.kind == ExitKind::signaled && status.code == SIGKILL,
         "after SIGKILL it ended with " + describe(status));
}

void cancelled(const Kit& kit) {
  Bench bench(kit);
  expect_prompt_cancel(kit, [&](CancelToken token) {
    dagger::testing::FakeContext ctx(token);
    auto running = bench.start(bench.request(bench.long_command()), {}, ctx);
    running->wait(ctx);
  });
}

void threads(const Kit& kit) {
  Bench bench(kit);
  run_one(bench);
  on_8_threads([&](int) { run_one(bench); });
}

void footprint(const Kit& kit) {
  Bench bench(kit);
  run_one(bench);
  const auto before = Footprint::now();
  for (int i = 0; i < 5; ++i) run_one(bench);
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after five execs " + difference);
}

}  // namespace

void add_executor_checks(Checks& checks) {
  checks.push_back({"executor.local", "start() of a local executor throws unsupported", executor_h, local_only});
  checks.push_back({"executor.run", "a command runs, its output arrives, its exit is told", executor_h, runs});
  checks.push_back(
      {"executor.not-started", "a program that does not exist is not_started, with its name", executor_h, not_started});
  checks.push_back({"executor.signal", "SIGKILL ends an exec and is told as a signal", executor_h, signalled});
  checks.push_back(
      {"executor.destroy", "destroying a running exec ends all its processes", executor_h, killed_by_destruction});
  checks.push_back({"executor.cancel", "a cancelled start() or wait() returns within 2 s, by Error{cancelled}",
                    "dagger/plugin/plugin.h", cancelled});
  checks.push_back({"executor.threads", "8 execs at once", executor_h, threads});
  checks.push_back(
      {"executor.footprint", "a finished exec leaves no process, mount, fd or thread behind", executor_h, footprint});
}

}  // namespace dagger::conformance
