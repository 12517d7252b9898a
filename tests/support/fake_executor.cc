#include "tests/support/fake_executor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/base/fs.h"

namespace dagger::testing {
namespace {

using Words = std::vector<std::string>;

// Longer than anything may take: a test that runs into it has failed.
constexpr auto patience = std::chrono::seconds(20);

std::string joined(Words::const_iterator first, Words::const_iterator last) {
  std::string all;
  for (; first != last; ++first) (all += all.empty() ? "" : " ") += *first;
  return all;
}
std::string command_of(const plugin::ExecRequest& r) { return joined(r.args.begin(), r.args.end()); }

UniqueFd duplicate(int fd) { return UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

}  // namespace

class FakeExecutor::Process final : public plugin::Running {
 public:
  Process(FakeExecutor& executor, const plugin::ExecRequest& request, const plugin::LocalExec& local,
          const plugin::Stdio& stdio)
      : executor_(executor),
        request_(request),
        local_(local),
        command_(command_of(request)),
        in_(duplicate(stdio.in)),
        out_(duplicate(stdio.out)),
        err_(duplicate(stdio.err)),
        done_(::eventfd(0, EFD_CLOEXEC)) {
    if (!done_) throw_errno("make an event");
    thread_ = std::thread([this] { run(); });
  }
  ~Process() override {
    {
      const std::lock_guard lock(executor_.mutex_);
      if (!ended_) executor_.signals_[command_].push_back(SIGKILL);
      signal_ = SIGKILL;
      executor_.changed_.notify_all();
    }
    thread_.join();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int done_fd() const noexcept override { return done_.get(); }
  void signal(int number) override {
    const std::lock_guard lock(executor_.mutex_);
    executor_.signals_[command_].push_back(number);
    signal_ = number;
    executor_.changed_.notify_all();
  }
  plugin::ExecStats stats() const override { return {}; }
  plugin::ExecStatus wait(plugin::CallContext&) override {
    std::unique_lock lock(executor_.mutex_);
    executor_.changed_.wait(lock, [&] { return ended_; });
    return status_;
  }
  std::vector<plugin::ExecOutput> outputs(plugin::CallContext&) override { return {}; }

 private:
  void run() {
    plugin::ExecStatus status;
    try {
      status = program();
    } catch (const std::exception& e) {
      status = {plugin::ExitKind::not_started, 0, e.what()};
    }
    in_.reset(), out_.reset(), err_.reset();
    const std::lock_guard lock(executor_.mutex_);
    status_ = status;
    ended_ = true;
    --executor_.running_;
    ::eventfd_write(done_.get(), 1);
    executor_.changed_.notify_all();
  }

  plugin::ExecStatus program() {
    const auto& args = request_.args;
    const auto& name = args[0];
    const auto rest = joined(args.begin() + 1, args.end());
    if (name == "true") return {};
    if (name == "exit") return {plugin::ExitKind::exited, std::stoi(args.at(1)), ""};
    if (name == "echo") return say(out_, rest + "\n");
    if (name == "leak") return leak(rest + "\n");
    if (name == "err") return say(err_, rest + "\n");
    if (name == "env") return say(out_, env(args.at(1)) + "\n");
    if (name == "stdin") return say(out_, read_all(in_.get(), 1 << 20));
    if (name == "secret") return say(out_, request_.mounts.at(mount(args.at(1))).content);
    if (name == "write") return write(args.at(1), args.at(2));
    if (name == "fail") return fail(std::stoi(args.at(1)), args.at(2), args.at(3));
    if (name == "cat") return cat({args.begin() + 1, args.end()});
    if (name == "append") return append(mount(args.at(1)), joined(args.begin() + 2, args.end()));
    if (name == "wait") return wait_for(args.at(1), joined(args.begin() + 2, args.end()), false);
    if (name == "stubborn") return wait_for(args.at(1), "", true);
    throw Error(Code::not_found, "exec: \"" + name + "\": not found in $PATH");
  }

  plugin::ExecStatus fail(int code, const std::string& path, const std::string& text) {
    write(path, text);
    say(out_, text + " out\n");
    say(err_, text + " err\n");
    return {plugin::ExitKind::exited, code, ""};
  }

  static plugin::ExecStatus say(const UniqueFd& to, const std::string& text) {
    write_all(to.get(), text);
    return {};
  }
  plugin::ExecStatus leak(const std::string& text) {
    say(out_, text);
    const std::lock_guard lock(executor_.mutex_);
    executor_.leaked_.push_back(std::move(out_));
    return {};
  }
  std::string env(const std::string& name) const {
    for (const auto& [key, value] : request_.env)
      if (key == name) return value;
    return "";
  }
  std::size_t mount(const std::string& target) const {
    for (std::size_t i = 0; i < request_.mounts.size(); ++i)
      if (request_.mounts[i].target == target) return i;
    throw Error(Code::not_found, "nothing is mounted at " + target);
  }
  // The tree that path lies in, and path within it.
  std::pair<int, std::string> place(const std::string& path, const std::vector<plugin::Layer>*& layers) const {
    layers = &request_.root;
    for (std::size_t i = request_.mounts.size(); i-- > 0;) {
      const auto& m = request_.mounts[i];
      if (m.kind != plugin::MountKind::tree || !path.starts_with(m.target + "/")) continue;
      layers = &m.stack;
      return {local_.mounts[i].fd, join_path("/", m.subpath + path.substr(m.target.size()))};
    }
    return {local_.root_fd, path};
  }
  plugin::ExecStatus write(const std::string& path, const std::string& text) const {
    const std::vector<plugin::Layer>* layers = nullptr;
    const auto [root, inside] = place(path, layers);
    make_dirs_in_root(root, parent_path(inside));
    write_all(open_in_root(root, inside, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), text);
    return {};
  }
  // From the layers, since a workspace of the store in memory does not show its base.
  plugin::ExecStatus cat(const Words& paths) const {
    for (const auto& path : paths) {
      const std::vector<plugin::Layer>* layers = nullptr;
      const auto inside = place(path, layers).second;
      const auto top = std::find_if(layers->rbegin(), layers->rend(),
                                    [&](const auto& layer) { return exists(layer.places.at(0).path + inside); });
      if (top == layers->rend()) return {plugin::ExitKind::exited, 1, ""};
      say(out_, read_file(top->places[0].path + inside));
    }
    return {};
  }
  plugin::ExecStatus append(std::size_t mount, const std::string& line) const {
    return say(open_at(local_.mounts.at(mount).fd, "log", O_WRONLY | O_CREAT | O_APPEND, 0644), line + "\n");
  }
  plugin::ExecStatus wait_for(const std::string& gate, const std::string& text, bool stubborn) {
    std::unique_lock lock(executor_.mutex_);
    const auto stopped = [&] { return signal_ == SIGKILL || (signal_ != 0 && !stubborn); };
    executor_.changed_.wait(lock, [&] { return stopped() || executor_.gates_.contains(gate); });
    if (stopped()) return {plugin::ExitKind::signaled, signal_, ""};
    lock.unlock();
    return say(out_, text);
  }

  FakeExecutor& executor_;
  const plugin::ExecRequest request_;
  const plugin::LocalExec local_;
  const std::string command_;
  UniqueFd in_, out_, err_, done_;
  int signal_ = 0;
  bool ended_ = false;
  plugin::ExecStatus status_;
  std::thread thread_;
};

std::unique_ptr<plugin::Running> FakeExecutor::start(const plugin::ExecRequest&, const plugin::Stdio&,
                                                     plugin::LayerTransfer&, plugin::CallContext&) {
  throw Error(Code::unsupported, "only local execs");
}

std::unique_ptr<plugin::Running> FakeExecutor::start_local(const plugin::ExecRequest& request,
                                                           const plugin::LocalExec& local, const plugin::Stdio& stdio,
                                                           plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  {
    const std::lock_guard lock(mutex_);
    order_.push_back(command_of(request));
    exec_ids_[order_.back()] = request.exec_id;
    most_ = std::max(most_, ++running_);
    changed_.notify_all();
  }
  return std::make_unique<Process>(*this, request, local, stdio);
}

void FakeExecutor::open(const std::string& gate) {
  const std::lock_guard lock(mutex_);
  gates_.insert(gate);
  changed_.notify_all();
}

void FakeExecutor::wait_until_started(const std::string& command, unsigned times) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return std::ranges::count(order_, command) >= times; }))
    throw Error(Code::internal, "'" + command + "' was not started");
}

void FakeExecutor::wait_until_signalled(const std::string& command, int number) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return std::ranges::count(signals_[command], number) != 0; }))
    throw Error(Code::internal, "'" + command + "' did not get signal " + std::to_string(number));
}

unsigned FakeExecutor::started(const std::string& command) const {
  const std::lock_guard lock(mutex_);
  return static_cast<unsigned>(std::ranges::count(order_, command));
}
unsigned FakeExecutor::started() const { return static_cast<unsigned>(order().size()); }
std::vector<std::string> FakeExecutor::order() const {
  const std::lock_guard lock(mutex_);
  return order_;
}
std::vector<int> FakeExecutor::signals(const std::string& command) const {
  const std::lock_guard lock(mutex_);
  const auto found = signals_.find(command);
  return found == signals_.end() ? std::vector<int>{} : found->second;
}
std::string FakeExecutor::exec_id(const std::string& command) const {
  const std::lock_guard lock(mutex_);
  return exec_ids_.at(command);
}
unsigned FakeExecutor::most_at_once() const {
  const std::lock_guard lock(mutex_);
  return most_;
}
unsigned FakeExecutor::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

std::unique_ptr<plugin::Attachment> FakeNetwork::attach(const plugin::NetworkRequest&, plugin::CallContext&) {
  class Host final : public plugin::Attachment {
    plugin::Namespace netns() const noexcept override { return plugin::Namespace::host; }
    int netns_fd() const noexcept override { return -1; }
    std::string resolv_conf() const override { return ""; }
    std::vector<plugin::HostEntry> hosts() const override { return {}; }
  };
  return std::make_unique<Host>();
}

}  // namespace dagger::testing
