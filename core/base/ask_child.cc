#include "core/base/ask_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"

namespace dagger {
namespace {

constexpr std::size_t max_answer = 1 << 20;
constexpr char mark = '+';  // in front of an answer, so that an empty one is one

[[noreturn]] void run(int answer, Function<std::string()>& function) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0)
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  try {
    write_all(answer, mark + function());
  } catch (...) {  // then there is no answer
  }
  ::_exit(0);  // without destructors: what was not trusted may still run
}

}  // namespace

ChildAnswer ask_child(std::chrono::milliseconds patience, Function<std::string()> function) {
  const UniqueFd answer(::memfd_create("answer", MFD_CLOEXEC));
  if (!answer) throw_errno("make a memory file");
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) run(answer.get(), function);
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  const bool in_time = ::poll(&ended, 1, static_cast<int>(patience.count())) == 1;
  ::kill(-pid, SIGKILL);  // and what it started
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  ChildAnswer result;
  if (!in_time) {
    result.end = ChildAnswer::End::late;
  } else if (WIFSIGNALED(status)) {
    result.end = ChildAnswer::End::crashed;
    result.signal = WTERMSIG(status);
  } else {
    ::lseek(answer.get(), 0, SEEK_SET);
    if (auto text = read_all(answer.get(), max_answer); !text.empty() && text[0] == mark) {
      result.end = ChildAnswer::End::answered;
      result.text = text.substr(1);
    }
  }
  return result;
}

}  // namespace dagger
