#include "core/link/address.h"

#include <charconv>

#include "dagger/plugin/error.h"

namespace dagger::link {
namespace {

constexpr std::string_view unix_prefix = "unix://", tcp_prefix = "tcp://", fd_prefix = "fd://";

bool parse_number(std::string_view text, int max, int& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0 && out <= max;
}

bool parse_tcp(std::string_view rest, Address& a) {
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  int number = 0;
  if (host.empty() || host.size() > 255 || !parse_number(port, 65535, number)) return false;
  if (!bracketed && host.find_first_of(":[]/") != std::string_view::npos) return false;
  a.host = host;
  a.port = port;
  return true;
}

}  // namespace

Address parse_address(std::string_view text) {
  Address a;
  bool good = false;
  if (text.starts_with(unix_prefix)) {
    a.kind = Address::Kind::unix_socket;
    a.path = text.substr(unix_prefix.size());
    good = a.path.starts_with('/') && a.path.find('\0') == std::string::npos;
  } else if (text.starts_with(tcp_prefix)) {
    a.kind = Address::Kind::tcp;
    good = parse_tcp(text.substr(tcp_prefix.size()), a);
  } else if (text.starts_with(fd_prefix)) {
    a.kind = Address::Kind::fds;
    const auto rest = text.substr(fd_prefix.size());
    const auto comma = rest.find(',');
    good = comma != std::string_view::npos && parse_number(rest.substr(0, comma), 1 << 20, a.in) &&
           parse_number(rest.substr(comma + 1), 1 << 20, a.out);
  }
  if (!good)
    throw Error(Code::invalid_argument,
                "'" + std::string(text.substr(0, 200)) +
                    "' is no address of a runner: use unix:///path, tcp://host:port or fd://R,W");
  return a;
}

std::string Address::str() const {
  switch (kind) {
    case Kind::unix_socket:
      return std::string(unix_prefix) + path;
    case Kind::tcp:
      return std::string(tcp_prefix) + (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + port;
    case Kind::fds:
      return std::string(fd_prefix) + std::to_string(in) + "," + std::to_string(out);
  }
  return {};
}

}  // namespace dagger::link
