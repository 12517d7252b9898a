// core/link/socket.h — making, taking over and removing the sockets that links are accepted on, and who is at their
// end.
//
// Errors: unavailable (address in use), permission_denied, invalid_argument; they name the path or port and the remedy.
// [blocking], briefly: used when a program starts and ends.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <string>

#include "core/link/address.h"
#include "core/link/wire.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::link {

// A listening socket. A path it made is removed again by its destructor, unless another socket has taken its place.
class ListenSocket {
 public:
  static ListenSocket on_unix(const std::string& path, unsigned mode, const std::string& group);
  static ListenSocket on_tcp(const Address& address);
  static ListenSocket adopt(UniqueFd listening);

  ListenSocket(ListenSocket&& o) noexcept;
  ListenSocket& operator=(ListenSocket&&) = delete;
  ~ListenSocket();

  int fd() const noexcept { return fd_.get(); }
  bool is_tcp() const noexcept { return address_.kind == Address::Kind::tcp; }
  bool loopback() const noexcept { return loopback_; }
  const Address& address() const noexcept { return address_; }

 private:
  ListenSocket() = default;
  void read_address();

  UniqueFd fd_;
  Address address_;
  bool loopback_ = false;
  std::string owned_path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// A connection to a unix socket; not listening: fd is empty and error says why (errno).
struct UnixConnect {
  UniqueFd fd;
  int error = 0;
};
UnixConnect connect_unix(const std::string& path);

void tune_tcp(int fd);
// "uid:N" of the process at the other end of a unix socket; of this process for other kinds of fd.
std::string uid_scope(int fd);
// Takes the fds over. Standard streams are replaced by /dev/null, so that stray output cannot get into the link.
Wire take_fds(const Address& address);

}  // namespace dagger::link
