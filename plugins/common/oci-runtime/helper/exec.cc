#include "plugins/common/oci-runtime/helper/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/common/oci-runtime/plan.h"

using namespace dagger::oci;

namespace {

struct View {
  const Step* step;
  const char* path;
  const char* text;
};

[[noreturn]] void answer(Answer& a) {
  const size_t size = offsetof(Answer, text) + a.text_size;
  const ssize_t written = write(answer_fd, &a, size);
  _exit(written == static_cast<ssize_t>(size) ? 0 : 1);
}

[[noreturn]] void not_started(const char* what, const char* path) {
  Answer a{};
  a.outcome = Outcome::not_started;
  const int n = snprintf(a.text, sizeof a.text, "%s %s: %s", what, path, strerror(errno));
  a.text_size = n < 0                                         ? 0
                : static_cast<uint32_t>(n) < Answer::max_text ? static_cast<uint32_t>(n)
                                                              : Answer::max_text - 1;
  answer(a);
}

void loopback_up() {
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (s < 0 || ioctl(s, SIOCSIFFLAGS, &request) != 0) not_started("bring up", "lo");
  close(s);
}

bool mount_tmpfs(const char* path, const char* options) {
  // Secrets live there: never on a swap device, where the kernel (6.4) can promise that.
  char unswapped[256];
  snprintf(unswapped, sizeof unswapped, "%s,noswap", options);
  return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, unswapped) == 0 ||
         mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

bool write_file(const View& v) {
  const int fd = open(v.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  for (uint32_t done = 0; done < v.step->text_size;) {
    const ssize_t n = write(fd, v.text + done, v.step->text_size - done);
    if (n < 0) return false;
    done += static_cast<uint32_t>(n);
  }
  const bool ok = fchown(fd, v.step->uid, v.step->gid) == 0 && fchmod(fd, v.step->mode) == 0;
  close(fd);
  return ok;
}

void carry_out(const View& v) {
  const Step& s = *v.step;
  switch (s.kind) {
    case StepKind::join_cgroup:
      if (write(s.fd, "0", 1) != 1) not_started("join the cgroup of", v.path);
      break;
    case StepKind::join_netns:
      if (setns(s.fd, CLONE_NEWNET) != 0) not_started("join", "the network namespace");
      break;
    case StepKind::new_netns:
      if (unshare(CLONE_NEWNET) != 0) not_started("make", "a network namespace");
      loopback_up();
      break;
    case StepKind::proc:
      if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) not_started("mount", "/proc");
      break;
    case StepKind::detach:
      while (umount2(v.path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
      }
      break;
    case StepKind::tmpfs:
      if (!mount_tmpfs(v.path, v.text)) not_started("mount a tmpfs on", v.path);
      break;
    case StepKind::directory:
      if (mkdir(v.path, s.mode) != 0) not_started("make directory", v.path);
      break;
    case StepKind::file:
      if (!write_file(v)) not_started("write", v.path);
      break;
    case StepKind::attach:
      if (syscall(SYS_move_mount, s.fd, "", AT_FDCWD, v.path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        not_started("attach the mount at", v.path);
      break;
    case StepKind::run:
      break;
  }
}

// The next step at *at, or null at the end or where the plan is not well-formed.
bool next(const char* plan, size_t size, size_t* at, View* v) {
  if (size - *at < sizeof(Step)) return false;
  v->step = reinterpret_cast<const Step*>(plan + *at);
  const size_t texts = size_t{v->step->path_size} + v->step->text_size + 2;
  if (size - *at - sizeof(Step) < texts) return false;
  v->path = plan + *at + sizeof(Step);
  v->text = v->path + v->step->path_size + 1;
  *at += (sizeof(Step) + texts + 7) / 8 * 8;
  if (*at > size) *at = size;
  return true;
}

pid_t start_runtime(const View& v, const sigset_t* inherited) {
  static char* argv[64];
  size_t count = 0;
  for (const char* p = v.text; p < v.text + v.step->text_size && count < 63; p += strlen(p) + 1)
    argv[count++] = const_cast<char*>(p);
  static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  static char* env[] = {path, nullptr};
  const pid_t pid = vfork();
  if (pid == 0) {
    sigprocmask(SIG_SETMASK, inherited, nullptr);
    execve(argv[0], argv, env);
    _exit(127);
  }
  if (pid < 0) not_started("start", argv[0]);
  return pid;
}

// The runtime failed: its log says why.
[[noreturn]] void tell_log(const char* directory, int status) {
  Answer a{};
  a.outcome = Outcome::not_started;
  a.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  char path[512];
  snprintf(path, sizeof path, "%s/%s", directory, runtime_log_name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st{};
  if (fd >= 0 && fstat(fd, &st) == 0) {
    const off_t from = st.st_size > Answer::max_text ? st.st_size - Answer::max_text : 0;
    const ssize_t n = pread(fd, a.text, sizeof a.text, from);
    if (n > 0) a.text_size = static_cast<uint32_t>(n);
  }
  answer(a);
}

pid_t read_pid(const char* path) {
  char text[32] = "";
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) not_started("read", path);
  close(fd);
  return atoi(text);
}

// Sends what was asked for to the container's first process; before it exists, only remembers that it was.
class Relay {
 public:
  void ask(int number) {
    if (number < 1 || number > 64) return;
    if (target_ > 0)
      kill(target_, number);
    else
      pending_ |= uint64_t{1} << (number - 1);
  }
  void start(pid_t target) {
    target_ = target;
    for (int n = 1; n <= 64; ++n)
      if ((pending_ >> (n - 1) & 1) != 0) kill(target_, n);
  }

 private:
  pid_t target_ = -1;
  uint64_t pending_ = 0;
};

// Reaps until pid has ended and gives its status. Orphans of the runtime are reaped on the way, but for keep_others:
// then one of them may be the container, whose status is still wanted.
int wait_for(pid_t pid, bool keep_others, const sigset_t* signals, Relay* relay, rusage* usage) {
  for (;;) {
    int status = 0;
    pid_t ended = 0;
    while ((ended = wait4(keep_others ? pid : -1, &status, WNOHANG, usage)) > 0)
      if (ended == pid) return status;
    if (ended < 0 && errno == ECHILD) not_started("wait for", "the container");
    siginfo_t info{};
    if (sigwaitinfo(signals, &info) == relay_signal) relay->ask(info.si_value.sival_int);
  }
}

uint64_t microseconds(const timeval& t) {
  return static_cast<uint64_t>(t.tv_sec) * 1000000 + static_cast<uint64_t>(t.tv_usec);
}

[[noreturn]] void run(const View& v, const char* directory, const sigset_t& signals, const sigset_t& inherited) {
  const pid_t runtime = start_runtime(v, &inherited);
  // The container's own ends of the pipes are the only ones from here on: readers see the end when it closes them.
  for (int fd = 0; fd < 3; ++fd) close(fd);
  Relay relay;
  rusage usage{};
  const int status = wait_for(runtime, true, &signals, &relay, &usage);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) tell_log(directory, status);
  const pid_t container = read_pid(v.path);
  relay.start(container);
  const int ended = wait_for(container, false, &signals, &relay, &usage);
  Answer a{};
  a.outcome = WIFEXITED(ended) ? Outcome::exited : Outcome::signaled;
  a.code = WIFEXITED(ended) ? WEXITSTATUS(ended) : WTERMSIG(ended);
  a.cpu_usec = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
  a.memory_peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  answer(a);
}

}  // namespace

void run_exec(const char* directory) {
  // What the runtime and the container inherit is 0, 1 and 2 only.
  if (syscall(SYS_close_range, plan_fd, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) != 0) not_started("close", "inherited files");
  sigset_t signals, inherited;  // blocked from the start: what arrives early waits for its turn
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, relay_signal);
  sigprocmask(SIG_BLOCK, &signals, &inherited);
  struct stat st{};
  if (fstat(plan_fd, &st) != 0) not_started("read", "the plan");
  const auto size = static_cast<size_t>(st.st_size);
  const void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, plan_fd, 0);
  if (mapped == MAP_FAILED) not_started("map", "the plan");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) not_started("make private", "/");
  View v{};
  for (size_t at = 0; next(static_cast<const char*>(mapped), size, &at, &v);) {
    if (v.step->kind == StepKind::run) run(v, directory, signals, inherited);
    carry_out(v);
    if (v.step->fd >= first_free_fd) close(v.step->fd);
  }
  errno = EINVAL;
  not_started("read", "the plan");
}
