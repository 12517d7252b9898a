// Transport::listen: from an address to peers.
#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <future>
#include <list>

#include <boost/asio/post.hpp>

#include "core/base/log.h"
#include "core/link/address.h"
#include "core/link/socket.h"
#include "core/link/transport_state.h"

namespace dagger::link {
namespace asio = boost::asio;
namespace {

constexpr std::size_t max_greetings = 64;  // handshakes of one listener that are not finished
constexpr int accepts_in_a_row = 64;       // then links that are open get their turn
constexpr std::chrono::milliseconds retry_no_fds{100};

// Wrong tokens cost time: a few are answered at once, then each waits longer, until a quiet minute has passed.
class Penalty {
 public:
  std::chrono::milliseconds next() {
    const auto now = Connection::Clock::now();
    if (now - last_ > std::chrono::minutes(1)) failures_ = 0;
    last_ = now;
    ++failures_;
    return std::chrono::milliseconds(failures_ <= 3 ? 0 : std::min(2000, 100 * (failures_ - 3)));
  }

 private:
  int failures_ = 0;
  Connection::Clock::time_point last_;
};

// The user's side of a listener, on the control thread.
struct Consumer {
  Function<void(std::unique_ptr<Peer>)> accept;  // empty when the listener is gone
};

// I/O thread only.
class Acceptor final : public Transport::State::Worker, public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(Transport::State& state, Transport::ListenOptions options, std::shared_ptr<Consumer> consumer)
      : state_(state), options_(std::move(options)), consumer_(std::move(consumer)) {}

  void start(UniqueFd socket, bool tcp) {
    tcp_ = tcp;
    state_.workers.insert(shared_from_this());
    socket_.emplace(state_.io, socket.release());
    wait();
  }

  // For a link over given fds, which has nothing to accept.
  void start_on(Wire wire, std::string scope) { greet(std::move(wire), std::move(scope)); }

  void stop() override {
    const auto self = shared_from_this();
    stopped_ = true;
    socket_.reset();
    pause_.reset();
    state_.workers.erase(self);
  }

 private:
  using Descriptor = asio::posix::stream_descriptor;

  void wait() {
    if (stopped_ || waiting_ || !socket_) return;
    waiting_ = true;
    socket_->async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& e) {
      self->waiting_ = false;
      if (!e) self->accept();
    });
  }

  void accept() {
    for (int i = 0; i < accepts_in_a_row && !stopped_; ++i) {
      UniqueFd fd(::accept4(socket_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        take(std::move(fd));
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) break;
      state_.log.warn("link: cannot accept a connection on " + options_.address + ": " +
                      std::generic_category().message(errno));
      pause_.emplace(state_.io, retry_no_fds);
      pause_->async_wait([self = shared_from_this()](const boost::system::error_code& e) {
        if (!e) self->wait();
      });
      return;
    }
    wait();
  }

  void take(UniqueFd fd) {
    try {
      if (tcp_) tune_tcp(fd.get());
      std::string scope = !tcp_                    ? uid_scope(fd.get())
                          : options_.token.empty() ? "loopback"
                                                   : "token:" + options_.token_name;
      greet(Wire(std::move(fd)), std::move(scope));
    } catch (const Error& e) {
      state_.log.warn(std::string("link: lost a new connection: ") + e.what());
    }
  }

  void greet(Wire wire, std::string scope) {
    // Who connects and says nothing must not keep others out: the one that has been at it longest makes room.
    while (greetings_.size() >= max_greetings)
      greetings_.front()->abort(Error(Code::unavailable, "too many others connect and do not finish their handshake"));
    const auto place = greetings_.emplace(greetings_.end());
    *place = state_.greet(
        std::move(wire), Handshake::Role::server, options_.peer, tcp_ ? options_.token : std::string(),
        [self = shared_from_this()] { return self->penalty_.next(); },
        [self = shared_from_this(), place, scope = std::move(scope)](Greeting::Result result) mutable {
          self->greetings_.erase(place);
          self->on_greeted(std::move(result), std::move(scope));
        });
  }

  void on_greeted(Greeting::Result result, std::string scope) {
    if (result.error) {
      state_.log.info("link: refused a connection on " + options_.address + ": " + result.error->what());
    } else if (!state_.stopping) {
      Identity other = identity_of(result.other, std::move(scope));
      auto connection = state_.adopt(std::move(result), Handshake::Role::server, options_.peer);
      state_.loop.post([consumer = consumer_, connection = std::move(connection), other = std::move(other),
                        &loop = state_.loop]() mutable {
        if (!consumer->accept) return connection->close({});
        consumer->accept(make_peer(loop, std::move(connection), std::move(other)));
      });
    }
    wait();
  }

  Transport::State& state_;
  const Transport::ListenOptions options_;
  const std::shared_ptr<Consumer> consumer_;
  std::optional<Descriptor> socket_;
  std::optional<asio::steady_timer> pause_;
  Penalty penalty_;
  bool tcp_ = false;
  bool waiting_ = false;
  bool stopped_ = false;
  std::list<std::shared_ptr<Greeting>> greetings_;  // oldest first
};

class LinkListener final : public Transport::Listener {
 public:
  LinkListener(std::weak_ptr<Transport::State> state, std::shared_ptr<Acceptor> acceptor,
               std::shared_ptr<Consumer> consumer, std::string address, std::optional<ListenSocket> socket)
      : state_(std::move(state)),
        acceptor_(std::move(acceptor)),
        consumer_(std::move(consumer)),
        address_(std::move(address)),
        socket_(std::move(socket)) {}
  ~LinkListener() override {
    consumer_->accept = {};
    const auto state = state_.lock();
    if (!state) return;
    // Waits, so that the address is free again afterwards; the I/O thread never blocks.
    std::promise<void> stopped;
    asio::post(state->io, [&] {
      std::exchange(acceptor_, {})->stop();
      stopped.set_value();
    });
    stopped.get_future().wait();
  }
  LinkListener(const LinkListener&) = delete;
  LinkListener& operator=(const LinkListener&) = delete;
  std::string address() const override { return address_; }

 private:
  std::weak_ptr<Transport::State> state_;
  std::shared_ptr<Acceptor> acceptor_;
  std::shared_ptr<Consumer> consumer_;
  std::string address_;
  std::optional<ListenSocket> socket_;
};

void check_policy(const ListenSocket& socket, const Transport::ListenOptions& options) {
  if (!socket.is_tcp() || !options.token.empty()) return;
  if (options.allow_insecure && socket.loopback()) return;
  throw Error(Code::permission_denied, "a runner on " + socket.address().str() +
                                           " needs a token: set one, or use a unix socket" +
                                           (socket.loopback() ? ", or allow insecure loopback explicitly" : ""));
}

}  // namespace

std::unique_ptr<Transport::Listener> Transport::listen(ListenOptions options,
                                                       Function<void(std::unique_ptr<Peer>)> accept) {
  const Address where = parse_address(options.address);
  if (where.kind != Address::Kind::fds)
    return listen_on(where.kind == Address::Kind::tcp
                         ? ListenSocket::on_tcp(where)
                         : ListenSocket::on_unix(where.path, options.socket_mode, options.socket_group),
                     std::move(options), std::move(accept));
  auto consumer = std::make_shared<Consumer>(std::move(accept));
  std::string scope = uid_scope(where.in);
  Wire wire = take_fds(where);
  auto acceptor = std::make_shared<Acceptor>(*state_, options, consumer);
  asio::post(state_->io, [acceptor, wire = std::move(wire), scope = std::move(scope)]() mutable {
    acceptor->start_on(std::move(wire), std::move(scope));
  });
  return std::make_unique<LinkListener>(state_, std::move(acceptor), std::move(consumer), where.str(), std::nullopt);
}

std::unique_ptr<Transport::Listener> Transport::listen_fd(UniqueFd socket, ListenOptions options,
                                                          Function<void(std::unique_ptr<Peer>)> accept) {
  return listen_on(ListenSocket::adopt(std::move(socket)), std::move(options), std::move(accept));
}

std::unique_ptr<Transport::Listener> Transport::listen_on(ListenSocket socket, ListenOptions options,
                                                          Function<void(std::unique_ptr<Peer>)> accept) {
  check_policy(socket, options);
  options.address = socket.address().str();
  UniqueFd copy(::fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw Error(Code::unavailable, "no file descriptor is left to listen on " + options.address);
  auto consumer = std::make_shared<Consumer>(std::move(accept));
  std::string address = options.address;
  auto acceptor = std::make_shared<Acceptor>(*state_, std::move(options), consumer);
  asio::post(state_->io, [acceptor, copy = std::move(copy), tcp = socket.is_tcp()]() mutable {
    acceptor->start(std::move(copy), tcp);
  });
  return std::make_unique<LinkListener>(state_, std::move(acceptor), std::move(consumer), std::move(address),
                                        std::move(socket));
}

}  // namespace dagger::link
