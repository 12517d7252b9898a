#include "core/plugin/isolation/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "core/base/fs.h"

namespace dagger::plugin::isolation {
namespace {

constexpr int start_patience_ms = 30'000, end_patience_ms = 2'000;
constexpr std::size_t max_idle_lines = 8;

// The plugin's process always waits for what the engine sends: one that does not read is broken.
void give_up_sending_after(int fd, int milliseconds) {
  const timeval patience{milliseconds / 1000, (milliseconds % 1000) * 1000};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

bool readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  int n = 0;
  while ((n = ::poll(&p, 1, timeout_ms)) < 0 && errno == EINTR) {
  }
  return n > 0;
}

std::vector<std::string> environment() {
  std::vector<std::string> all;
  for (char** e = ::environ; *e != nullptr; ++e) all.emplace_back(*e);
  return all;
}

}  // namespace

Process::Process(const Launch& launch, Spawner& spawner, LogReader& logs) : grace_(launch.grace) {
  auto [ours, theirs] = Channel::pair();
  auto [log_reader, log_writer] = Channel::pair();
  SpawnRequest request;
  request.argv = {launch.program, launch.start.kind, launch.start.use, protocol};  // names: for `ps`
  request.env = environment();
  request.stdio[1] = request.stdio[2] = log_writer.get();
  request.keep = {theirs.get()};
  request.new_session = true;
  child_ = spawner.spawn(request);
  pidfd_ = UniqueFd(::fcntl(child_.fd(), F_DUPFD_CLOEXEC, 0));
  if (!pidfd_) throw_errno("keep a pidfd");
  theirs.reset(), log_writer.reset();
  logs.add(std::move(log_reader), launch.label);
  give_up_sending_after(ours.get(), end_patience_ms);
  control_ = std::make_unique<Channel>(std::move(ours));
  try {
    start(launch);
  } catch (...) {
    kill("");
    ended();
    throw;
  }
}

Process::~Process() {
  idle_.clear();
  control_.reset();
  readable(pidfd_.get(), end_patience_ms);
  const std::lock_guard lock(mutex_);
  end_locked();
}

void Process::start(const Launch& launch) {
  try {
    control_->send(Kind::call, Method::start, cbor::pack(launch.start));
  } catch (const Error&) {
    throw ended();
  }
  if (!readable(control_->fd(), start_patience_ms)) {
    kill("it was not loaded within " + std::to_string(start_patience_ms / 1000) + " s");
    throw ended();
  }
  try {
    const auto message = control_->receive();
    if (message && message->kind == Kind::failure) throw to_error(cbor::unpack<Failure>(message->body));
    if (message && message->kind == Kind::reply) {
      started_ = cbor::unpack<Started>(message->body);
      loaded_ = true;
      return;
    }
  } catch (const Error& e) {
    if (e.code() != Code::corrupt_data) throw;
    kill(e.what());
  }
  throw ended();
}

bool Process::running() const {
  const std::lock_guard lock(mutex_);
  return end_.empty() && kill_reason_.empty() && !readable(pidfd_.get(), 0);
}

Line Process::take_line() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto line = std::move(idle_.back());
      idle_.pop_back();
      return line;
    }
  }
  auto [ours, theirs] = Channel::pair();
  give_up_sending_after(ours.get(), end_patience_ms);
  UniqueFd cancel(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!cancel) throw_errno("make an eventfd");
  try {
    control_->send(Kind::call, Method::channel, "", {theirs.get(), cancel.get()});
  } catch (const Error&) {
    throw ended();
  }
  return {Channel(std::move(ours)), std::move(cancel)};
}

void Process::give_back(Line line) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < max_idle_lines) idle_.push_back(std::move(line));
}

void Process::kill(std::string reason) {
  const std::lock_guard lock(mutex_);
  if (!end_.empty() || !kill_reason_.empty() || readable(pidfd_.get(), 0)) return;
  kill_reason_ = std::move(reason);
  child_.signal(SIGKILL);
}

Error Process::ended() {
  const std::lock_guard lock(mutex_);
  if (end_.empty() && !readable(pidfd_.get(), end_patience_ms) && kill_reason_.empty())
    kill_reason_ = "it ended a call without an answer";
  end_locked();
  return Error(Code::plugin_fault,
               "its process " + end_ + (loaded_ ? "; it is started again at the next call" : " while it was loaded"));
}

// Takes what it started along: the number is its own until it was waited for.
void Process::end_locked() {
  if (!end_.empty()) return;
  ::kill(-child_.pid(), SIGKILL);
  child_.signal(SIGKILL);
  const auto status = child_.wait();
  if (!kill_reason_.empty())
    end_ = "was killed, because " + kill_reason_;
  else if (status.exited)
    end_ = "ended with exit code " + std::to_string(status.code);
  else
    end_ = "was killed by " + signal_text(status.code);
}

}  // namespace dagger::plugin::isolation
