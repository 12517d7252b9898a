// core/session/http/server.h — HTTP/1.1 on a loopback port. Boost.Beast lives in server.cc alone.
//
// Control thread. A request's token is cancelled when its client hangs up. Requests of one connection are answered in
// order and connections run side by side. Without the token the answer is 401, before the body is read, and the
// connection ends soon; with it nothing times out: a query may take hours. stop() before destroying: nothing outlives
// it.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/cancel.h"
#include "core/base/task.h"
#include "core/session/http/message.h"

namespace dagger::session {

struct HttpOptions {
  std::string token;
  std::size_t header_bytes = 64 << 10, body_bytes = 64 << 20;
  std::size_t connections = 1024;
  // For the first request that has the token: others of this machine may connect, but not keep connections open.
  std::chrono::milliseconds authorize_within{10'000};
  std::string server_header;  // x-dagger-engine
};

class HttpServer {
 public:
  using Handler = Function<Task<HttpResponse>(HttpRequest, CancelToken)>;
  HttpServer(Loop& loop, HttpOptions options, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Listens on 127.0.0.1; the port. 0 takes any. Throws what the system says.
  std::uint16_t listen(std::uint16_t port = 0);
  // Closes the listener and every connection, cancels what they wait for, and waits for their end.
  Task<void> stop();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace dagger::session
