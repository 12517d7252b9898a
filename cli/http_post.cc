#include "cli/http_post.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/fs.h"

namespace dagger::cli {
namespace {

std::string base64(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t j = i; j < i + 3; ++j)
      group = group << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) out += i + j <= bytes.size() ? alphabet[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

UniqueFd connect_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw Error(Code::unavailable, "no session answers at 127.0.0.1:" + std::to_string(port));
  return fd;
}

// Until the other side closes: the request asked for that.
std::string read_answer(int fd, const CancelToken& cancel) {
  std::string answer;
  char buffer[1 << 14];
  pollfd watched[2] = {{fd, POLLIN, 0}, {cancel.fd(), POLLIN, 0}};
  for (;;) {
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) throw_errno("wait for the session's answer");
    cancel.throw_if_cancelled();
    if (watched[0].revents == 0) continue;
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read the session's answer");
    if (got == 0) return answer;
    answer.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string post_query(std::uint16_t port, const std::string& token, const std::string& json,
                       const CancelToken& cancel) {
  const auto fd = connect_to(port);
  write_all(fd.get(),
            "POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
            "User-Agent: dagger-query\r\nAuthorization: Basic " +
                base64(token + ":") + "\r\nContent-Length: " + std::to_string(json.size()) + "\r\n\r\n" + json);
  const auto answer = read_answer(fd.get(), cancel);
  const auto end = answer.find("\r\n\r\n");
  if (end == std::string::npos) throw Error(Code::unavailable, "the session closed the connection without an answer");
  if (answer.starts_with("HTTP/1.1 401"))
    throw Error(Code::permission_denied, "the session refuses the token in DAGGER_SESSION_TOKEN");
  return answer.substr(end + 4);
}

}  // namespace dagger::cli
