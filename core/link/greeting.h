// core/link/greeting.h — drives one Handshake over a Wire, within a bounded time. I/O thread only.
#pragma once
#include <memory>
#include <optional>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/base/function.h"
#include "core/link/handshake.h"
#include "core/link/wire.h"

namespace dagger::link {

class Greeting : public std::enable_shared_from_this<Greeting> {
 public:
  struct Result {
    std::optional<Error> error;
    Wire wire;
    std::string early;  // bytes after the handshake
    Hello other;
  };
  using Milliseconds = std::chrono::milliseconds;

  // wrong_proof: says how long to wait before a wrong proof is answered.
  Greeting(boost::asio::io_context& io, Wire wire, Handshake handshake, Function<Milliseconds()> wrong_proof,
           Function<void(Result)> done);
  void start(Milliseconds timeout);
  void abort(const Error& why);

 private:
  using Descriptor = boost::asio::posix::stream_descriptor;
  void wait_readable();
  void on_readable();
  void flush();
  void finish(std::optional<Error> error);

  Wire wire_;
  Handshake handshake_;
  Function<Milliseconds()> wrong_proof_;
  Function<void(Result)> done_;
  std::optional<Descriptor> reader_, writer_;
  boost::asio::steady_timer timeout_, delay_;
  std::string output_;
};

}  // namespace dagger::link
