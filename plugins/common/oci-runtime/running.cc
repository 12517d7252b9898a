#include "plugins/common/oci-runtime/running.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "plugins/common/oci-runtime/plan.h"
#include "plugins/common/sys/sys.h"

namespace dagger::oci {

using plugin::ExecStatus;
using plugin::ExitKind;

OciRunning::~OciRunning() {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  await_end();
}

void OciRunning::await_end() const noexcept {
  pollfd end{pidfd_.get(), POLLIN, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
}

// Without a group of its own an exec is measured at its end.
plugin::ExecStats OciRunning::stats() const {
  const std::lock_guard lock(mutex_);
  const auto group = cgroup_->stats();
  return group.cpu_usec > 0 ? group : at_end_;
}

void OciRunning::signal(int number) {
  if (number == SIGKILL) {  // the whole tree: the first process would take it along anyway
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    return;
  }
  siginfo_t info{};
  info.si_signo = relay_signal;
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = number;
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), relay_signal, &info, 0) != 0 && errno != ESRCH)
    sys::fail("signal the exec");
}

ExecStatus OciRunning::wait(plugin::CallContext& ctx) {
  for (;;) {
    pollfd fds[] = {{pidfd_.get(), POLLIN, 0}, {ctx.cancel_fd(), POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0 && errno != EINTR) sys::fail("wait for the exec");
    if (fds[0].revents != 0) break;
    if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the exec any more");
  }
  const std::lock_guard lock(mutex_);
  if (!status_) status_ = read_status();
  return *status_;
}

ExecStatus OciRunning::read_status() {
  Answer a{};
  const ssize_t n = ::read(answer_.get(), &a, sizeof a);
  constexpr auto head = static_cast<ssize_t>(offsetof(Answer, text));
  if (n < head || n - head != a.text_size) return {ExitKind::signaled, SIGKILL, "the exec was killed from outside"};
  at_end_ = {a.cpu_usec, a.memory_peak_bytes};
  switch (a.outcome) {
    case Outcome::exited:
      return {ExitKind::exited, a.code, {}};
    case Outcome::signaled:
      if (a.code == SIGKILL && cgroup_->oom_killed()) return {ExitKind::oom_killed, a.code, "out of memory"};
      return {ExitKind::signaled, a.code, {}};
    case Outcome::not_started:
      break;
  }
  return {ExitKind::not_started, a.code, start_error(command_, runtime_error(std::string_view(a.text, a.text_size)))};
}

std::string runtime_error(std::string_view log) {
  std::string last;
  for (std::size_t at = 0; at < log.size();) {
    const auto end = std::min(log.find('\n', at), log.size());
    const auto line = nlohmann::json::parse(log.substr(at, end - at), nullptr, false);
    if (line.is_object() && line.contains("msg") && line["msg"].is_string()) last = line["msg"].get<std::string>();
    at = end + 1;
  }
  if (last.empty()) last = log;
  return last.empty() ? "the container runtime ended without a reason" : last;
}

std::string start_error(std::string_view command, std::string reason) {
  constexpr std::string_view crun_refused = "open executable: ", crun_missing = "executable file `",
                             runc_both = ": exec: \"";
  if (const auto at = reason.find(runc_both); at != std::string::npos) return reason.substr(at + 2);
  const auto because = [&](std::string_view why) {
    return "exec: \"" + std::string(command) + "\": " + std::string(why);
  };
  if (reason.starts_with(crun_missing))
    return because(command.find('/') == std::string_view::npos ? "executable file not found in $PATH"
                                                               : "no such file or directory");
  if (reason == std::string(crun_refused) + "Permission denied") return because("permission denied");
  // So it says of a directory.
  if (reason == std::string(crun_refused) + "Operation not permitted") return because("not an executable file");
  return reason;
}

}  // namespace dagger::oci
