// dagger-exec-helper — starts a process for each exec on request, in new pid and mount namespaces.
//
// The executor keeps one per kind of cgroup: it joins that group once, and the execs inherit it, since moving a process
// into a group waits for the whole kernel (some 10 ms). Small, static and single-threaded: a fork of it is cheap. Its
// end (also by the engine's death, whose parent-death signal it has) is the end of every exec that it started. fd 3: a
// SOCK_SEQPACKET socket to the executor; fds 4...: cgroup.procs to join. argv[1]: the directory of run_exec().
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/common/oci-runtime/helper/exec.h"
#include "plugins/common/oci-runtime/plan.h"

using namespace dagger::oci;

namespace {

constexpr int request_socket = 3;

struct Fds {
  int count = 0;
  int fd[max_exec_fds] = {};
};

// False at the end: the executor is gone.
bool receive(Fds* fds) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds->fd)];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do n = recvmsg(request_socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return false;
  fds->count = 0;
  const cmsghdr* head = CMSG_FIRSTHDR(&message);
  if (head != nullptr && head->cmsg_type == SCM_RIGHTS) {
    fds->count = static_cast<int>((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds->fd, CMSG_DATA(head), static_cast<size_t>(fds->count) * sizeof(int));
  }
  return true;
}

void reply(int error, int pidfd) {
  iovec data{&error, sizeof error};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof pidfd)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (pidfd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof pidfd);
    memcpy(CMSG_DATA(head), &pidfd, sizeof pidfd);
  }
  sendmsg(request_socket, &message, MSG_NOSIGNAL);
}

[[noreturn]] void become_exec(Fds* fds, int parent, const char* directory) {
  signal(SIGCHLD, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  pollfd gone{parent, POLLIN, 0};  // before the call above took effect?
  if (poll(&gone, 1, 0) != 0) _exit(1);
  // First above every number that is wanted, then down: no dup2 overwrites an fd that is still needed.
  for (int i = 0; i < fds->count; ++i) {
    fds->fd[i] = fcntl(fds->fd[i], F_DUPFD_CLOEXEC, request_socket + fds->count);
    if (fds->fd[i] < 0) _exit(1);
  }
  for (int i = 0; i < fds->count; ++i)
    if (dup2(fds->fd[i], i) < 0) _exit(1);
  syscall(SYS_close_range, fds->count, ~0U, 0);
  run_exec(directory);
}

void start_exec(Fds* fds, int self, const char* directory) {
  int pidfd = -1;
  const long pid =
      syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr);
  if (pid == 0) become_exec(fds, self, directory);
  reply(pid < 0 ? errno : 0, pid < 0 ? -1 : pidfd);
  if (pid > 0) close(pidfd);
  for (int i = 0; i < fds->count; ++i) close(fds->fd[i]);
}

}  // namespace

// The runner may have been started with room for few files.
void make_room_for_files() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  constexpr rlim_t enough = request_socket + 4 * max_exec_fds;
  if (files.rlim_cur >= enough) return;
  const rlimit more{enough, files.rlim_max < enough ? enough : files.rlim_max};
  setrlimit(RLIMIT_NOFILE, &more);  // where it may not: execs with few mounts still fit
}

int main(int argc, char** argv) {
  if (argc != 2 || fcntl(request_socket, F_SETFD, FD_CLOEXEC) != 0) {
    fprintf(stderr, "dagger-exec-helper is started by the engine\n");
    return 2;
  }
  for (int fd = request_socket + 1; fcntl(fd, F_GETFD) >= 0; close(fd++))
    if (write(fd, "0", 1) != 1) {
      reply(errno, -1);
      return 1;
    }
  make_room_for_files();
  signal(SIGCHLD, SIG_IGN);  // ended execs are reaped by the kernel; the executor has their pidfds
  const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (self < 0) {
    reply(errno, -1);
    return 1;
  }
  reply(0, -1);
  for (static Fds fds; receive(&fds);) start_exec(&fds, self, argv[1]);
  return 0;
}
