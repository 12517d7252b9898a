#include "child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace secret_command {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::UniqueFd;

constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD; not in every libc's header

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      throw Error(Code::internal, "cannot make a pipe: " + std::generic_category().message(errno));
    read.reset(ends[0]);
    write.reset(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);  // only our end: the command's own may block
  }
};

// A pidfd's description in /proc names the process; 0 if it does not.
int pid_of(int pidfd) {
  const std::unique_ptr<FILE, int (*)(FILE*)> info(
      ::fopen(("/proc/self/fdinfo/" + std::to_string(pidfd)).c_str(), "re"), ::fclose);
  char line[128];
  int pid = 0;
  while (info && ::fgets(line, sizeof line, info.get()) != nullptr)
    if (::sscanf(line, "Pid: %d", &pid) == 1) break;
  return pid > 1 ? pid : 0;
}

}  // namespace

Child::Child(dagger::plugin::Host& host, const std::vector<std::string>& argv, std::vector<std::string> env) {
  if (::access(argv[0].c_str(), X_OK) != 0)
    throw Error(Code::not_found, argv[0] + " cannot be run: " + std::generic_category().message(errno) +
                                     "; install it, or correct the setting commands");
  Pipe out, err;
  dagger::plugin::Host::Spawn request;
  request.argv = argv;
  request.env = std::move(env);
  request.stdio[1] = out.write.get();
  request.stdio[2] = err.write.get();
  pidfd_ = host.spawn(request);
  pid_ = pid_of(pidfd_.get());
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

Child::~Child() {
  if (!pidfd_) return;
  kill();
  reap();
}

// All of its session's process group, whose number is not used again before the process is reaped.
void Child::kill() const noexcept {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  if (pid_ != 0) ::kill(-pid_, SIGKILL);
}

siginfo_t Child::reap() noexcept {
  siginfo_t info{};
  while (::waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 && errno == EINTR) {
  }
  pidfd_.reset();
  return info;
}

std::string Child::failure() {
  const auto end = reap();
  if (end.si_pid == 0) throw Error(Code::internal, "somebody else has waited for the command");
  if (end.si_code != CLD_EXITED) return "was ended by signal " + std::to_string(end.si_status);
  return end.si_status == 0 ? std::string() : "ended with " + std::to_string(end.si_status);
}

}  // namespace secret_command
