#include "tests/support/second/remote_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/base/fs.h"
#include "tests/support/second/remote_machine.h"

namespace dagger::testing {
namespace {

using plugin::ExecRequest;
using plugin::ExecStatus;
using plugin::ExitKind;

class StringStream final : public plugin::ByteStream {
 public:
  explicit StringStream(std::string_view text) : rest_(text) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const auto n = std::min(size, rest_.size());
    std::memcpy(buffer, rest_.data(), n);
    rest_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view rest_;
};

UniqueFd duplicate(int fd) { return UniqueFd(fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

UniqueFd event() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
  if (!fd) throw_errno("make an event");
  return fd;
}

// One tree of the machine: the root or a mount.
struct Place {
  std::string target, output;
  bool read_only = false;
  RemoteTree tree;
};

class RemoteRun final : public plugin::Running {
 public:
  RemoteRun(const ExecRequest& request, const plugin::Stdio& stdio, plugin::LayerTransfer& transfer,
            plugin::CallContext& ctx)
      : request_(request),
        transfer_(transfer),
        in_(duplicate(stdio.in)),
        out_(duplicate(stdio.out)),
        done_(event()),
        signalled_(event()) {
    places_.push_back(load("/", request.root_output, false, request.root, ctx));
    for (const auto& mount : request.mounts)
      if (mount.kind == plugin::MountKind::tree)
        places_.push_back(load(mount.target, mount.output, mount.read_only, mount.stack, ctx));
    thread_ = std::thread([this] { run(); });
  }
  ~RemoteRun() override {
    signal(9);
    thread_.join();
  }
  RemoteRun(const RemoteRun&) = delete;
  RemoteRun& operator=(const RemoteRun&) = delete;

  int done_fd() const noexcept override { return done_.get(); }
  void signal(int number) override {
    signal_ = number;
    ::eventfd_write(signalled_.get(), 1);
  }
  plugin::ExecStats stats() const override { return {}; }

  ExecStatus wait(plugin::CallContext& ctx) override {
    pollfd fds[2] = {{done_.get(), POLLIN, 0}, {ctx.cancel_fd(), POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if ((fds[0].revents & POLLIN) == 0) throw Error(Code::cancelled, "cancelled");
    expect_finished();
    return status_;
  }

  std::vector<plugin::ExecOutput> outputs(plugin::CallContext&) override {
    expect_finished();
    std::vector<plugin::ExecOutput> all;
    for (const auto& place : places_) {
      if (place.output.empty()) continue;
      plugin::ExecOutput output;
      output.name = place.output;
      output.unchanged = !place.tree.changed();
      if (!output.unchanged) {
        const auto tar = place.tree.changes_tar();
        StringStream stream(tar);
        output.layer = transfer_.write(stream, plugin::form::tar);
      }
      all.push_back(std::move(output));
    }
    return all;
  }

 private:
  Place load(const std::string& target, const std::string& output, bool read_only,
             const std::vector<plugin::Layer>& stack, plugin::CallContext& ctx) {
    Place place{target, output, read_only, {}};
    for (const auto& layer : stack) {
      if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
      place.tree.apply_tar(*transfer_.read(layer, plugin::form::tar));
    }
    return place;
  }

  // Also makes what the thread wrote visible here.
  void expect_finished() const {
    if (!finished_) throw Error(Code::invalid_argument, "the exec still runs");
  }

  void run() {
    status_ = [this]() -> ExecStatus {
      try {
        return command();
      } catch (const std::exception& e) {
        return {ExitKind::not_started, 0, e.what()};
      }
    }();
    out_.reset();
    finished_ = true;
    ::eventfd_write(done_.get(), 1);
  }

  // The place with the longest target that holds path; path becomes relative to it (with a leading '/').
  Place& place_of(std::string& path) {
    path = join_path(request_.cwd, path);
    Place* best = &places_[0];
    for (auto& p : places_)
      if (p.target.size() > best->target.size() && path.rfind(p.target + "/", 0) == 0) best = &p;
    if (best->target != "/") path = path.substr(best->target.size());
    return *best;
  }

  void say(std::string_view text) {
    if (out_) write_all(out_.get(), text);
  }

  ExecStatus change(std::string path, const std::string& text, bool keep_old) {
    auto& place = place_of(path);
    if (place.read_only) return {ExitKind::exited, 1, ""};
    place.tree.write(path, keep_old ? place.tree.read(path).value_or("") + text : text);
    return {};
  }

  ExecStatus cat(const std::vector<std::string>& paths) {
    for (auto path : paths) {
      const auto content = place_of(path).tree.read(path);
      if (!content) return {ExitKind::exited, 1, ""};
      say(*content);
    }
    return {};
  }

  ExecStatus copy_stdin() {
    std::array<char, 4096> buffer;
    while (in_) {
      pollfd fds[2] = {{in_.get(), POLLIN, 0}, {signalled_.get(), POLLIN, 0}};
      while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
      }
      if (fds[1].revents != 0) return {ExitKind::signaled, signal_, ""};
      const auto n = ::read(in_.get(), buffer.data(), buffer.size());
      if (n <= 0) break;
      say({buffer.data(), static_cast<std::size_t>(n)});
    }
    return {};
  }

  ExecStatus wait_for_signal() {
    pollfd fd{signalled_.get(), POLLIN, 0};
    while (::poll(&fd, 1, -1) < 0 && errno == EINTR) {
    }
    return {ExitKind::signaled, signal_, ""};
  }

  ExecStatus command() {
    const auto& args = request_.args;
    const auto name = base_name("/" + args.at(0));
    const auto count = args.size() - 1;
    if (name == "true") return {};
    if (name == "false") return {ExitKind::exited, 1, ""};
    if (name == "exit" && count == 1) return {ExitKind::exited, std::stoi(args[1]), ""};
    if (name == "echo") {
      std::string line;
      for (std::size_t i = 1; i < args.size(); ++i) line += (i == 1 ? "" : " ") + args[i];
      say(line + "\n");
      return {};
    }
    if (name == "cat") return cat({args.begin() + 1, args.end()});
    if (name == "write" && count == 2) return change(args[1], args[2], false);
    if (name == "append" && count == 2) return change(args[1], args[2], true);
    if (name == "rm" && count == 1) {
      auto path = args[1];
      auto& place = place_of(path);
      return {ExitKind::exited, !place.read_only && place.tree.remove(path) ? 0 : 1, ""};
    }
    if (name == "env" && count == 1) {
      for (const auto& [key, value] : request_.env)
        if (key == args[1]) say(value + "\n");
      return {};
    }
    if (name == "stdin") return copy_stdin();
    if (name == "wait") return wait_for_signal();
    return {ExitKind::not_started, 0, "exec: \"" + args[0] + "\": not found in $PATH"};
  }

  ExecRequest request_;
  plugin::LayerTransfer& transfer_;
  UniqueFd in_, out_, done_, signalled_;
  std::atomic<int> signal_{0};
  std::vector<Place> places_;
  ExecStatus status_;  // written by the thread before finished_
  std::atomic<bool> finished_{false};
  std::thread thread_;
};

}  // namespace

plugin::ExecutorTraits RemoteExecutor::traits() const {
  plugin::ExecutorTraits t;
  t.network_classes = {"host", "none"};
  return t;
}

std::unique_ptr<plugin::Running> RemoteExecutor::start(const ExecRequest& request, const plugin::Stdio& stdio,
                                                       plugin::LayerTransfer& transfer, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  if (request.args.empty()) throw Error(Code::invalid_argument, "no command");
  return std::make_unique<RemoteRun>(request, stdio, transfer, ctx);
}

}  // namespace dagger::testing
