#include "core/link/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/fs.h"

namespace dagger::link {
namespace {

constexpr int backlog = 256;

gid_t group_id(const std::string& name) {
  std::vector<char> buffer(64 * 1024);
  group entry{};
  group* found = nullptr;
  ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr)
    throw Error(Code::invalid_argument, "there is no group '" + name + "'; make it, or correct socket_group");
  return found->gr_gid;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path)
    throw Error(Code::invalid_argument, "the socket path " + path + " is longer than " +
                                            std::to_string(sizeof a.sun_path - 1) + " bytes: choose a shorter one");
  ::memcpy(a.sun_path, path.data(), path.size());
  return a;
}

template <class T>
const sockaddr* generic(const T& a) {
  return reinterpret_cast<const sockaddr*>(&a);
}

// Two starters of one path must not both find the old socket stale: the later would remove the earlier's. The lock on
// the directory leaves no file behind.
UniqueFd lock_directory(const std::string& path) {
  auto dir = open_file(path, O_RDONLY | O_DIRECTORY);
  for (int tries = 0; ::flock(dir.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (tries == 200) throw Error(Code::unavailable, path + " is locked by another process that starts");
    ::poll(nullptr, 0, 10);
  }
  return dir;
}

void remove_stale(const std::string& path) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return;
    throw_errno("look at " + path);
  }
  if (!S_ISSOCK(st.st_mode))
    throw Error(Code::invalid_argument, path + " exists and is not a socket: remove it or choose another path");
  const int error = connect_unix(path).error;
  if (error == ECONNREFUSED) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("remove the stale socket " + path);
    return;
  }
  if (error == 0 || error == EAGAIN)
    throw Error(Code::unavailable, "another process listens on " + path + ": stop it or choose another path");
  throw errno_error(error, "look for a process that listens on " + path);
}

bool is_loopback(const sockaddr_storage& a) {
  if (a.ss_family == AF_INET) return ntohl(reinterpret_cast<const sockaddr_in&>(a).sin_addr.s_addr) >> 24 == 127;
  return a.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(a).sin6_addr);
}

}  // namespace

UnixConnect connect_unix(const std::string& path) {
  const auto address = unix_address(path);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno("make a unix socket");
  if (::connect(fd.get(), generic(address), sizeof address) != 0) return {UniqueFd(), errno};
  return {std::move(fd), 0};
}

ListenSocket ListenSocket::on_unix(const std::string& path, unsigned mode, const std::string& group) {
  const auto address = unix_address(path);
  const std::string parent = parent_path(path);
  if (!exists(parent)) {
    make_dirs(parent_path(parent));
    if (::mkdir(parent.c_str(), 0700) != 0 && errno != EEXIST) throw_errno("make directory " + parent);
  }
  const auto owner = group.empty() ? std::nullopt : std::optional(group_id(group));
  const auto lock = lock_directory(parent);
  remove_stale(path);
  ListenSocket s;
  s.fd_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!s.fd_) throw_errno("make a unix socket");
  // The mode of the new name is that of the socket less the umask; nobody can connect before listen() anyway.
  if (::fchmod(s.fd_.get(), mode) != 0) throw_errno("set the mode of " + path);
  if (::bind(s.fd_.get(), generic(address), sizeof address) != 0) throw_errno("bind to " + path);
  struct stat st{};
  if (::lstat(path.c_str(), &st) == 0) {
    s.owned_path_ = path;
    s.device_ = st.st_dev;
    s.inode_ = st.st_ino;
  }
  if (owner && ::lchown(path.c_str(), static_cast<uid_t>(-1), *owner) != 0)
    throw_errno("give " + path + " to the group " + group);
  if (::chmod(path.c_str(), mode) != 0) throw_errno("set the mode of " + path);
  if (::listen(s.fd_.get(), backlog) != 0) throw_errno("listen on " + path);
  s.read_address();
  return s;
}

ListenSocket ListenSocket::on_tcp(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int e = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found); e != 0)
    throw Error(Code::invalid_argument, "cannot listen on " + address.str() + ": " + ::gai_strerror(e));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
  ListenSocket s;
  s.fd_.reset(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!s.fd_) throw_errno("make a tcp socket");
  const int on = 1;
  ::setsockopt(s.fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(s.fd_.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(s.fd_.get(), backlog) != 0) {
    const bool taken = errno == EADDRINUSE;
    const Error why = errno_error(errno, "cannot listen on " + address.str());
    throw Error(taken ? Code::unavailable : why.code(), why.message() + (taken ? "; choose another port" : ""));
  }
  s.read_address();
  return s;
}

ListenSocket ListenSocket::adopt(UniqueFd listening) {
  int accepts = 0;
  socklen_t size = sizeof accepts;
  if (::getsockopt(listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) != 0)
    throw_errno("use fd " + std::to_string(listening.get()) + " as a listening socket");
  if (accepts == 0)
    throw Error(Code::invalid_argument, "fd " + std::to_string(listening.get()) + " is a socket that does not listen");
  ListenSocket s;
  s.fd_ = std::move(listening);
  ::fcntl(s.fd_.get(), F_SETFL, ::fcntl(s.fd_.get(), F_GETFL) | O_NONBLOCK);
  ::fcntl(s.fd_.get(), F_SETFD, FD_CLOEXEC);
  s.read_address();
  return s;
}

void ListenSocket::read_address() {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  if (::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&a), &size) != 0)
    throw_errno("read the address of a socket");
  if (a.ss_family == AF_UNIX) {
    address_.kind = Address::Kind::unix_socket;
    address_.path = reinterpret_cast<const sockaddr_un&>(a).sun_path;
    return;
  }
  char host[INET6_ADDRSTRLEN] = "", port[8] = "";
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&a), size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    throw Error(Code::invalid_argument, "a listening socket must be a unix or a tcp one");
  address_.kind = Address::Kind::tcp;
  address_.host = host;
  address_.port = port;
  loopback_ = is_loopback(a);
}

ListenSocket::ListenSocket(ListenSocket&& o) noexcept
    : fd_(std::move(o.fd_)),
      address_(std::move(o.address_)),
      loopback_(o.loopback_),
      owned_path_(std::exchange(o.owned_path_, {})),
      device_(o.device_),
      inode_(o.inode_) {}

ListenSocket::~ListenSocket() {
  if (owned_path_.empty()) return;
  struct stat st{};
  if (::lstat(owned_path_.c_str(), &st) == 0 && st.st_dev == device_ && st.st_ino == inode_)
    ::unlink(owned_path_.c_str());
}

void tune_tcp(int fd) {
  const int on = 1;
  // Little unsent data in the kernel: what is there already goes before a small call.
  const int unsent = 256 << 10;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

std::string uid_scope(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  // A pair made by socketpair(2) has the credentials of its maker; what is no unix socket came from our parent or is
  // our child.
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid == 0)
    return "uid:" + std::to_string(::getuid());
  return "uid:" + std::to_string(who.uid);
}

namespace {

UniqueFd take_fd(int number) {
  if (number > 2) {
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) throw_errno("use fd " + std::to_string(number));
    return UniqueFd(number);
  }
  UniqueFd copy(::fcntl(number, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw_errno("use fd " + std::to_string(number));
  const auto null = open_file("/dev/null", O_RDWR);
  if (::dup2(null.get(), number) < 0) throw_errno("replace fd " + std::to_string(number));
  return copy;
}

}  // namespace

Wire take_fds(const Address& address) {
  UniqueFd in = take_fd(address.in);
  if (address.in == address.out) return Wire(std::move(in));
  return Wire(std::move(in), take_fd(address.out));
}

}  // namespace dagger::link
