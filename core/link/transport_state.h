// core/link/transport_state.h — the I/O thread of a Transport and what lives on it.
//
// Members below `thread` are touched on the I/O thread only. Destroying it ends every connection, politely for a
// second.
#pragma once
#include <set>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "core/link/connection.h"
#include "core/link/core.h"
#include "core/link/greeting.h"

namespace dagger {
class Log;
}

namespace dagger::link {

struct Transport::State {
  State(Loop& loop, Log& log);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Starts a handshake; done gets the result on the I/O thread. I/O thread.
  std::shared_ptr<Greeting> greet(Wire wire, Handshake::Role role, const PeerOptions& options, std::string token,
                                  Function<std::chrono::milliseconds()> wrong_proof,
                                  Function<void(Greeting::Result)> done);
  // A connection from a finished handshake. I/O thread.
  std::shared_ptr<Connection> adopt(Greeting::Result result, Handshake::Role role, const PeerOptions& options);

  // Work that ends with the transport: a dial or an acceptor.
  struct Worker {
    virtual ~Worker() = default;
    virtual void stop() = 0;
  };

  Loop& loop;
  Log& log;
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  IoContext context{io};
  std::thread thread;

  std::set<std::shared_ptr<Worker>> workers;
  std::set<std::shared_ptr<Greeting>> greetings;
  std::set<std::shared_ptr<Connection>> connections;
  bool stopping = false;

 private:
  void begin_stop();
  void stop_if_empty();
  std::optional<boost::asio::steady_timer> deadline_;
};

Identity identity_of(const Hello& hello, std::string scope);

}  // namespace dagger::link
