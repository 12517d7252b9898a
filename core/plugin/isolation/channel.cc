#include "core/plugin/isolation/channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "core/base/fs.h"

namespace dagger::plugin::isolation {
namespace {

// kind, what, where the body is
struct Head {
  std::uint8_t kind, what, elsewhere;
};
constexpr int buffer_bytes = 208 * 1024;  // room for one packet and what the kernel adds

using Control = std::array<char, CMSG_SPACE(sizeof(int) * (max_fds + 1))>;

[[noreturn]] void corrupt(const std::string& what) { throw Error(Code::corrupt_data, what); }

void attach(msghdr& header, Control& control, const std::vector<int>& fds) {
  if (fds.empty()) return;
  const auto bytes = sizeof(int) * fds.size();
  header.msg_control = control.data();
  header.msg_controllen = CMSG_SPACE(bytes);
  cmsghdr* item = CMSG_FIRSTHDR(&header);
  item->cmsg_level = SOL_SOCKET, item->cmsg_type = SCM_RIGHTS, item->cmsg_len = CMSG_LEN(bytes);
  std::memcpy(CMSG_DATA(item), fds.data(), bytes);
}

std::vector<UniqueFd> take_fds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t n = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < n; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

// The seals promise that reading ends, and that nobody else writes meanwhile.
std::string read_sealed(int fd, std::size_t limit) {
  constexpr int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  if (const int seals = ::fcntl(fd, F_GET_SEALS); seals < 0 || (seals & wanted) != wanted)
    corrupt("a large message is not a sealed memory file");
  struct stat st{};
  if (::fstat(fd, &st) != 0 || static_cast<std::uint64_t>(st.st_size) > limit)
    corrupt("a message has " + std::to_string(st.st_size) + " bytes, more than " + std::to_string(limit));
  std::string body(static_cast<std::size_t>(st.st_size), '\0');
  for (std::size_t at = 0; at < body.size();) {
    const auto n = ::pread(fd, body.data() + at, body.size() - at, static_cast<off_t>(at));
    if (n <= 0) corrupt("a large message cannot be read");
    at += static_cast<std::size_t>(n);
  }
  return body;
}

}  // namespace

std::pair<UniqueFd, UniqueFd> Channel::pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) throw_errno("make a socket pair");
  for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void Channel::send_packet(Kind kind, std::uint8_t what, std::string_view body, const std::vector<int>& fds) {
  Head head{static_cast<std::uint8_t>(kind), what, static_cast<std::uint8_t>(body.size() > max_inline_bytes)};
  auto all = fds;
  UniqueFd file;
  if (head.elsewhere != 0) {
    file = sealed_memfd(body, "message");
    all.push_back(file.get());
    body = {};
  }
  iovec parts[2] = {{&head, sizeof head}, {const_cast<char*>(body.data()), body.size()}};
  alignas(cmsghdr) Control control;
  msghdr header{};
  header.msg_iov = parts, header.msg_iovlen = 2;
  attach(header, control, all);
  while (::sendmsg(socket_.get(), &header, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) throw Error(Code::unavailable, "the other process is gone");
    if (errno == EAGAIN) throw Error(Code::unavailable, "the other process does not read");
    throw_errno("send a message");
  }
}

void Channel::fail(const Error& error) {
  send(Kind::failure, 0, cbor::pack(Failure{static_cast<std::uint64_t>(error.code()), error.what()}));
}

std::optional<Message> Channel::receive(std::size_t max_body) {
  Head head{};
  Message message;
  std::array<char, max_inline_bytes> inline_body;  // not set: it costs nothing but stack
  iovec parts[2] = {{&head, sizeof head}, {inline_body.data(), inline_body.size()}};
  alignas(cmsghdr) Control control;
  msghdr header{};
  header.msg_iov = parts, header.msg_iovlen = 2;
  header.msg_control = control.data(), header.msg_controllen = control.size();
  ssize_t n = 0;
  while ((n = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNRESET) return std::nullopt;
    throw_errno("receive a message");
  }
  if (n == 0) return std::nullopt;
  message.fds = take_fds(header);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || n < static_cast<ssize_t>(sizeof head))
    corrupt("a message is too large, too small or has too many fds");
  if (head.kind < static_cast<unsigned>(Kind::call) || head.kind > static_cast<unsigned>(Kind::note))
    corrupt("a message has the unknown kind " + std::to_string(head.kind));
  message.kind = static_cast<Kind>(head.kind), message.what = head.what;
  if (head.elsewhere == 0) {
    message.body.assign(inline_body.data(), static_cast<std::size_t>(n) - sizeof head);
  } else {
    if (message.fds.empty()) corrupt("a large message comes without its file");
    message.body = read_sealed(message.fds.back().get(), max_body);
    message.fds.pop_back();
  }
  if (message.body.size() > max_body) corrupt("a message has " + std::to_string(message.body.size()) + " bytes");
  if (message.fds.size() > max_fds) corrupt("a message has too many fds");
  return message;
}

void Channel::shut_down() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

Error to_error(const Failure& f) {
  const bool known = f.code >= static_cast<std::uint64_t>(Code::invalid_argument) &&
                     f.code <= static_cast<std::uint64_t>(Code::internal);
  return Error(known ? static_cast<Code>(f.code) : Code::plugin_fault, f.message);
}

}  // namespace dagger::plugin::isolation
