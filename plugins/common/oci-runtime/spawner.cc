#include "plugins/common/oci-runtime/spawner.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "plugins/common/oci-runtime/plan.h"
#include "plugins/common/sys/sys.h"

namespace dagger::oci {
namespace {

struct Reply {
  int error = 0;  // errno of the helper
  UniqueFd pidfd;
};

bool send_fds(int socket, const std::vector<int>& fds) {
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_exec_fds)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  std::memcpy(CMSG_DATA(head), fds.data(), sizeof(int) * fds.size());
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

// error is EPIPE when the helper is gone.
Reply receive(int socket) {
  Reply r;
  iovec data{&r.error, sizeof r.error};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = 0;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n != sizeof r.error) return {EPIPE, UniqueFd()};
  if (const cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr && head->cmsg_type == SCM_RIGHTS) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    r.pidfd.reset(fd);
  }
  return r;
}

}  // namespace

Spawner::~Spawner() { stop(); }

void Spawner::stop() noexcept {
  socket_.reset();
  sys::end_child(process_);
}

void Spawner::start() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) sys::fail("make a socket");
  socket_.reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  const timeval patience{10, 0};  // of a machine that swaps; the helper itself needs less than a millisecond
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  plugin::Host::Spawn request;
  request.argv = {helper_, directory_};
  request.keep = {theirs.get()};
  for (const auto& group : groups_) request.keep.push_back(group.get());
  process_ = host_.spawn(request);
  const auto reply = receive(socket_.get());
  if (reply.error == 0) return;
  stop();
  throw sys::error(reply.error, "start the helper of execs in its cgroup");
}

UniqueFd Spawner::spawn(const std::vector<int>& fds) {
  if (fds.size() > max_exec_fds)
    throw Error(Code::invalid_argument,
                "an exec has more than " + std::to_string(max_exec_fds - first_free_fd) + " mounts");
  UniqueFd null;
  auto sent = fds;
  for (int& fd : sent) {
    if (fd >= 0) continue;
    if (!null) null = sys::open_at(AT_FDCWD, "/dev/null", O_RDWR);
    fd = null.get();
  }
  const std::lock_guard lock(mutex_);
  if (socket_ && !send_fds(socket_.get(), sent)) stop();  // it has died: a new one
  if (!socket_) {
    start();
    if (!send_fds(socket_.get(), sent)) sys::fail("ask the helper of execs");
  }
  auto reply = receive(socket_.get());
  if (reply.error == 0 && reply.pidfd) return std::move(reply.pidfd);
  if (reply.error == EPIPE) stop();
  throw sys::error(reply.error, "start the process of an exec");
}

}  // namespace dagger::oci
