// Transport::connect: from an address to a peer.
#include <sys/socket.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "core/base/fs.h"
#include "core/link/address.h"
#include "core/link/socket.h"
#include "core/link/transport_state.h"

namespace dagger::link {
namespace asio = boost::asio;
using asio::ip::tcp;
namespace {

constexpr std::chrono::seconds connect_timeout{10};
constexpr std::chrono::milliseconds retry_full_backlog{10};

Error nobody_listens(const Address& where, int number) {
  const Error cause = errno_error(number, "connect to " + where.str());
  if (cause.code() == Code::permission_denied) return Error(Code::permission_denied, cause.message());
  return Error(
      Code::unavailable,
      cause.message() + "; is a runner listening there? (_EXPERIMENTAL_DAGGER_RUNNER_HOST says where to look)");
}

// One attempt to connect. I/O thread only, but for what it posts to the loop.
class Dial final : public Transport::State::Worker, public std::enable_shared_from_this<Dial> {
 public:
  using Done = OneShot<std::unique_ptr<Peer>>;
  Dial(Transport::State& state, Address where, PeerOptions options, Done done)
      : state_(state), where_(std::move(where)), options_(std::move(options)), done_(std::move(done)) {}

  void start() {
    if (state_.stopping) return fail(Error(Code::cancelled, "the program ends"));
    state_.workers.insert(shared_from_this());
    deadline_ = Connection::Clock::now() + connect_timeout;
    try {
      switch (where_.kind) {
        case Address::Kind::unix_socket:
          return connect_unix_socket();
        case Address::Kind::tcp:
          return resolve();
        case Address::Kind::fds: {
          std::string scope = uid_scope(where_.in);
          return greet(take_fds(where_), std::move(scope), {});
        }
      }
    } catch (const Error& e) {
      fail(Error(e));
    }
  }

  void stop() override { fail(Error(Code::cancelled, "the attempt to connect was given up")); }

 private:
  void connect_unix_socket() {
    auto [fd, error] = connect_unix(where_.path);
    if (error == EAGAIN && Connection::Clock::now() < deadline_) {  // its backlog is full
      timer_.emplace(state_.io, retry_full_backlog);
      timer_->async_wait([self = shared_from_this()](const boost::system::error_code& e) {
        if (!e) self->guarded([&] { self->connect_unix_socket(); });
      });
      return;
    }
    if (!fd) return fail(nobody_listens(where_, error));
    std::string scope = uid_scope(fd.get());
    greet(Wire(std::move(fd)), std::move(scope), {});
  }

  void resolve() {
    timer_.emplace(state_.io, deadline_);
    timer_->async_wait([self = shared_from_this()](const boost::system::error_code& e) {
      if (!e) self->fail(nobody_listens(self->where_, ETIMEDOUT));
    });
    boost::system::error_code not_numeric;
    const auto address = asio::ip::make_address(where_.host, not_numeric);
    if (!not_numeric) {
      endpoints_ = {tcp::endpoint(address, static_cast<std::uint16_t>(std::stoi(where_.port)))};
      return connect_next();
    }
    resolver_.emplace(state_.io);
    resolver_->async_resolve(
        where_.host, where_.port,
        [self = shared_from_this()](const boost::system::error_code& e, const tcp::resolver::results_type& found) {
          if (e == asio::error::operation_aborted) return;
          if (e)
            return self->fail(Error(Code::unavailable, "connect to " + self->where_.str() + ": " + e.message() +
                                                           "; check the host's name"));
          for (const auto& entry : found) self->endpoints_.push_back(entry.endpoint());
          self->guarded([&] { self->connect_next(); });
        });
  }

  void connect_next() {
    if (next_ >= endpoints_.size()) return fail(nobody_listens(where_, last_error_));
    const tcp::endpoint endpoint = endpoints_[next_++];
    if (options_.token.empty() && !endpoint.address().is_loopback())
      return fail(Error(Code::permission_denied,
                        "a link to " + where_.str() + " needs a token: set _EXPERIMENTAL_DAGGER_RUNNER_TOKEN"));
    // Asio would make a socket without O_CLOEXEC.
    UniqueFd fd(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) throw_errno("make a tcp socket");
    socket_.emplace(state_.io);
    socket_->assign(endpoint.protocol(), fd.release());
    socket_->async_connect(endpoint, [self = shared_from_this()](const boost::system::error_code& e) {
      if (e == asio::error::operation_aborted) return;
      self->guarded([&] { self->on_connected(e); });
    });
  }

  void on_connected(const boost::system::error_code& e) {
    if (e) {
      last_error_ = e.value();
      socket_.reset();
      return connect_next();
    }
    timer_.reset();
    UniqueFd fd(socket_->release());
    socket_.reset();
    tune_tcp(fd.get());
    greet(Wire(std::move(fd)), options_.token.empty() ? "loopback" : "token:" + options_.token_name, options_.token);
  }

  void greet(Wire wire, std::string scope, std::string token) {
    greeting_ = state_.greet(std::move(wire), Handshake::Role::client, options_, std::move(token), {},
                             [self = shared_from_this(), scope = std::move(scope)](Greeting::Result result) mutable {
                               self->on_greeted(std::move(result), std::move(scope));
                             });
  }

  void on_greeted(Greeting::Result result, std::string scope) {
    if (ended_) return;
    if (result.error) return fail(Error(result.error->code(), where_.str() + ": " + result.error->message()));
    ended_ = true;
    release();
    Identity other = identity_of(result.other, std::move(scope));
    auto connection = state_.adopt(std::move(result), Handshake::Role::client, options_);
    state_.loop.post(
        [done = std::move(done_), connection = std::move(connection), other = std::move(other),
         &loop = state_.loop]() mutable { done.set(make_peer(loop, std::move(connection), std::move(other))); });
    state_.workers.erase(shared_from_this());
  }

  template <class F>
  void guarded(F f) {
    if (ended_) return;
    try {
      f();
    } catch (const Error& e) {
      fail(Error(e));
    }
  }

  // The coroutine that waits holds this object, perhaps longer than the io_context lives.
  void release() {
    timer_.reset();
    resolver_.reset();
    socket_.reset();
  }

  void fail(Error why) {
    if (std::exchange(ended_, true)) return;
    const auto self = shared_from_this();
    state_.workers.erase(self);
    release();
    if (const auto greeting = greeting_.lock()) greeting->abort(why);
    state_.loop.post([done = std::move(done_), why = std::move(why)] { done.fail(std::make_exception_ptr(why)); });
  }

  Transport::State& state_;
  const Address where_;
  const PeerOptions options_;
  Done done_;  // moved to the loop's thread, which alone may destroy what it holds
  Connection::Clock::time_point deadline_;
  std::optional<asio::steady_timer> timer_;
  std::optional<tcp::resolver> resolver_;
  std::vector<tcp::endpoint> endpoints_;
  std::size_t next_ = 0;
  int last_error_ = ECONNREFUSED;
  std::optional<tcp::socket> socket_;
  std::weak_ptr<Greeting> greeting_;
  bool ended_ = false;
};

}  // namespace

Task<std::unique_ptr<Peer>> Transport::connect(std::string address, PeerOptions options, CancelToken cancel) {
  cancel.throw_if_cancelled();
  State& state = *state_;
  const OneShot<std::unique_ptr<Peer>> result(state.loop);
  const auto dial = std::make_shared<Dial>(state, parse_address(address), std::move(options), result);
  asio::post(state.io, [dial] { dial->start(); });
  const auto subscription = cancel.on_cancel([dial, result, token = cancel, &state] {
    asio::post(state.io, [dial] { dial->stop(); });
    state.loop.post(
        [result, reason = token.reason()] { result.fail(std::make_exception_ptr(Error(Code::cancelled, reason))); });
  });
  co_return co_await result;
}

}  // namespace dagger::link
