// core/link/address.h — where a link goes: "unix:///path", "tcp://host:port", "fd://R,W". Pure.
#pragma once
#include <string>
#include <string_view>

namespace dagger::link {

struct Address {
  enum class Kind { unix_socket, tcp, fds };
  Kind kind{};
  std::string path;        // unix_socket
  std::string host, port;  // tcp; an IPv6 address without its brackets
  int in = -1, out = -1;   // fds; equal for a socket
  std::string str() const;
};

// Throws Error{invalid_argument} that names the text and the accepted forms.
Address parse_address(std::string_view text);

}  // namespace dagger::link
