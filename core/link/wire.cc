#include "core/link/wire.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/fs.h"

namespace dagger::link {
namespace {

void make_non_blocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    throw_errno("make fd " + std::to_string(fd) + " non-blocking");
}

}  // namespace

Wire::Wire(UniqueFd socket) : in_(std::move(socket)) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(in_.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    throw_errno("use fd " + std::to_string(in_.get()) + " as a socket");
  make_non_blocking(in_.get());
}

Wire::Wire(UniqueFd in, UniqueFd out) : in_(std::move(in)), out_(std::move(out)) {
  make_non_blocking(in_.get());
  make_non_blocking(out_.get());
}

ssize_t Wire::receive(char* to, std::size_t size) {
  for (;;) {
    const ssize_t n = ::read(in_.get(), to, size);
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

ssize_t Wire::send_some(const iovec* parts, std::size_t n) {
  for (;;) {
    ssize_t sent = 0;
    if (out_) {
      sent = ::writev(out_.get(), parts, static_cast<int>(n));
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(parts);  // NOLINT: the kernel reads only
      message.msg_iovlen = n;
      sent = ::sendmsg(in_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

ssize_t Wire::send(std::string_view bytes) {
  const iovec part{const_cast<char*>(bytes.data()), bytes.size()};  // NOLINT: the kernel reads only
  return send_some(&part, 1);
}

ssize_t Wire::send(Batch& batch) {
  std::array<iovec, 64> parts{};
  std::size_t n = 0, skip = batch.sent;
  const auto add = [&](std::string_view bytes) {
    const std::size_t gone = std::min(skip, bytes.size());
    skip -= gone;
    bytes.remove_prefix(gone);
    if (!bytes.empty()) parts[n++] = {const_cast<char*>(bytes.data()), bytes.size()};  // NOLINT: the kernel reads only
  };
  for (const auto& piece : batch.pieces) {
    if (n + 2 > parts.size()) break;
    add({piece.head.data(), piece.head.size()});
    add(piece.payload);
  }
  const ssize_t sent = send_some(parts.data(), n);
  if (sent > 0) batch.sent += static_cast<std::size_t>(sent);
  return sent;
}

void Wire::end() {
  if (out_) {
    out_.reset();
  } else {
    ::shutdown(in_.get(), SHUT_WR);
  }
}

}  // namespace dagger::link
