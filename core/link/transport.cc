#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include <boost/asio/post.hpp>

#include "core/base/log.h"
#include "core/link/transport_state.h"

namespace dagger::link {
namespace asio = boost::asio;
namespace {

constexpr std::chrono::seconds handshake_timeout{5};
constexpr std::chrono::milliseconds stop_timeout{1500};

Connection::Options connection_options(const PeerOptions& mine, const Hello& other, bool initiator) {
  Connection::Options o;
  o.initiator = initiator;
  o.dead_after = mine.dead_after;
  const auto patience = other.dead_after.count() > 0 ? std::min(mine.dead_after, other.dead_after) : mine.dead_after;
  o.ping_every = std::max(patience / 5, std::chrono::milliseconds(5));
  return o;
}

}  // namespace

Identity identity_of(const Hello& hello, std::string scope) { return {std::move(scope), hello.software, hello.labels}; }

Transport::State::State(Loop& l, Log& g) : loop(l), log(g) {
  sigset_t all, old;  // signals belong to the main thread
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old);
  thread = std::thread([this] { io.run(); });
  ::pthread_setname_np(thread.native_handle(), "link");
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

Transport::State::~State() {
  asio::post(io, [this] { begin_stop(); });
  thread.join();
}

void Transport::State::begin_stop() {
  stopping = true;
  const auto all_workers = workers;
  for (const auto& w : all_workers) w->stop();
  const auto all_greetings = greetings;
  for (const auto& g : all_greetings) g->abort(Error(Code::cancelled, "the program ends"));
  for (const auto& c : connections) c->close({});
  deadline_.emplace(io, stop_timeout);
  deadline_->async_wait([this](const boost::system::error_code& e) {
    if (e) return;
    const auto rest = connections;
    for (const auto& c : rest) c->abort();
  });
  stop_if_empty();
}

void Transport::State::stop_if_empty() {
  if (!stopping || !connections.empty()) return;
  deadline_.reset();
  io.stop();
}

std::shared_ptr<Greeting> Transport::State::greet(Wire wire, Handshake::Role role, const PeerOptions& options,
                                                  std::string token, Function<std::chrono::milliseconds()> wrong_proof,
                                                  Function<void(Greeting::Result)> done) {
  Hello mine;
  mine.min_version = mine.max_version = protocol_version;
  mine.software = options.software;
  mine.labels = options.labels;
  mine.dead_after = options.dead_after;
  auto slot = std::make_shared<std::weak_ptr<Greeting>>();
  const auto greeting = std::make_shared<Greeting>(
      io, std::move(wire), Handshake(role, std::move(mine), std::move(token)), std::move(wrong_proof),
      [this, slot, done = std::move(done)](Greeting::Result result) mutable {
        greetings.erase(slot->lock());
        done(std::move(result));
      });
  *slot = greeting;
  greetings.insert(greeting);
  greeting->start(handshake_timeout);
  return greeting;
}

std::shared_ptr<Connection> Transport::State::adopt(Greeting::Result result, Handshake::Role role,
                                                    const PeerOptions& options) {
  auto connection =
      std::make_shared<Connection>(context, std::move(result.wire), std::move(result.early),
                                   connection_options(options, result.other, role == Handshake::Role::client));
  connections.insert(connection);
  connection->attach([this, weak = std::weak_ptr(connection)] {
    connections.erase(weak.lock());
    stop_if_empty();
  });
  return connection;
}

Transport::Transport(Loop& loop, Log& log) : state_(std::make_shared<State>(loop, log)) {}
Transport::~Transport() = default;

}  // namespace dagger::link
