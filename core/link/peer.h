// core/link/peer.h — one end of a link: typed calls and byte streams in both directions over one connection.
//
// A Peer lives on the control thread; bytes, framing and hashing live on the link's own I/O thread. Either end serves
// methods and calls the other's. A call is a channel: its request opens it, its reply or error closes it; cancelling
// the caller cancels the handler at the other end. A stream is a channel that carries bytes both ways under flow
// control, for pool threads that read and write blocking. When the connection dies every call and stream fails with
// Error{unavailable, reason} within the bounded time (ping), and handlers are cancelled.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/function.h"
#include "core/base/loop.h"
#include "core/base/task.h"
#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger {
class Log;
}

namespace dagger::link {

inline constexpr unsigned protocol_version = 2;

// Who is at the other end, as proven in the handshake.
struct Identity {
  std::string scope;     // trust scope: "uid:1000" on a unix socket or stdio, "token:<name>" on tcp
  std::string software;  // "dagger 0.1.0"
  std::vector<std::pair<std::string, std::string>> labels;  // what the other end said about itself
};

// A byte stream of one channel. [thread-safe: one reading and one writing thread] [blocking], never on the control
// thread.
class Stream {
 public:
  virtual ~Stream() = default;  // resets what is not finished
  // The next bytes, at least one; empty at the end (the other side finished). Throws Error on reset, cancel, dead link.
  virtual std::string read() = 0;
  virtual void write(std::string_view bytes) = 0;  // blocks while the window is full
  virtual void finish() = 0;                       // no more bytes from this side
  virtual void reset(const Error& why) = 0;        // both directions; the other side gets this error
  // Wakes a blocked read() or write() with Error{cancelled}.
  virtual void cancel() = 0;
};

// Serves one incoming call. The token is cancelled when the caller cancels or the link dies. A thrown Error becomes the
// caller's error with the same code and text; a DetailedError carries its details along.
using Handler = Function<Task<std::string>(std::string request, CancelToken cancel)>;
// Serves one incoming stream; runs on the control thread and hands the stream to a pool. The stream stays open until
// the shared pointer is gone. The token is cancelled when the other side resets the stream or the link dies.
using StreamHandler = Function<void(std::string request, std::shared_ptr<Stream> stream, CancelToken cancel)>;

struct PeerOptions {
  std::string software;
  std::vector<std::pair<std::string, std::string>> labels;
  std::string token;       // proven by challenge and response where the transport is tcp; never sent
  std::string token_name;  // listener side: names the trust scope of who proves this token
  std::chrono::milliseconds dead_after{5000};
};

class Peer {
 public:
  virtual ~Peer() = default;  // closes the connection; everything in flight fails

  // Register before start(). An unknown method answers Error{unsupported}.
  virtual void serve(std::string method, Handler handler) = 0;
  virtual void serve_stream(std::string method, StreamHandler handler) = 0;
  virtual void start() = 0;

  virtual Task<std::string> call(std::string method, std::string request, CancelToken cancel) = 0;
  virtual std::shared_ptr<Stream> open(std::string method, std::string request) = 0;
  // One-way message: no reply, order kept among notifications; dropped when the link is dead. Ends the link when the
  // other end does not read and too much waits to be sent.
  virtual void notify(std::string method, std::string message) = 0;
  virtual void serve_notify(std::string method, Function<void(std::string)> handler) = 0;  // throws: ends the link
  // Bytes that wait to be sent. What may be left out is held back while there are many; far beyond that notify() and
  // call() throw Error{unavailable}.
  virtual std::size_t backlog() const = 0;

  virtual const Identity& other() const = 0;
  // Called once, on the control thread, when the link is closed or dead; reason is empty after an orderly close.
  virtual void on_closed(Function<void(std::string reason)> f) = 0;
  // Says goodbye after what is queued (replies, notifications, finished streams). Calls in flight fail, handlers are
  // cancelled. on_closed follows.
  virtual void close() = 0;
  // Closes, and returns when the last handler has ended: after it nothing of the owner is used any more. At most once.
  virtual Task<void> join() = 0;
};

class ListenSocket;

// Owns the I/O thread of all links of this process.
class Transport {
 public:
  Transport(Loop& loop, Log& log);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // address: "unix:///path", "tcp://host:port", or "fd://R,W" (a child's stdio). Connects, shakes hands (version,
  // token) and returns a peer that is not started. Errors: unavailable (nobody listens), permission_denied (token),
  // unsupported (protocol versions differ: says both and which side to update).
  Task<std::unique_ptr<Peer>> connect(std::string address, PeerOptions options, CancelToken cancel);

  struct Listener {
    virtual ~Listener() = default;            // stops accepting; open peers stay
    virtual std::string address() const = 0;  // with the real port
  };
  struct ListenOptions {
    std::string address;  // "unix:///path" or "tcp://host:port"
    unsigned socket_mode = 0600;
    std::string socket_group;  // of the unix socket; empty: as created
    std::string token;         // tcp: required unless allow_insecure and the address is loopback
    std::string token_name = "default";
    bool allow_insecure = false;
    PeerOptions peer;
  };
  // accept runs on the control thread for each peer that finished its handshake.
  std::unique_ptr<Listener> listen(ListenOptions options, Function<void(std::unique_ptr<Peer>)> accept);
  // A listener on a socket that is listening already (made before the process started, or inherited).
  std::unique_ptr<Listener> listen_fd(UniqueFd socket, ListenOptions options,
                                      Function<void(std::unique_ptr<Peer>)> accept);

  struct State;  // for the link's own files

 private:
  std::unique_ptr<Listener> listen_on(ListenSocket socket, ListenOptions options,
                                      Function<void(std::unique_ptr<Peer>)> accept);
  std::shared_ptr<State> state_;  // listeners know it weakly
};

// An error with a machine-readable payload for the other end (the method's own encoding), e.g. an exec's exit code and
// output. What call() throws when the handler threw one.
class DetailedError : public std::exception {
 public:
  DetailedError(Error error, std::string details) : error_(std::move(error)), details_(std::move(details)) {}
  const char* what() const noexcept override { return error_.what(); }
  const Error& error() const noexcept { return error_; }
  const std::string& details() const noexcept { return details_; }

 private:
  Error error_;
  std::string details_;
};

}  // namespace dagger::link
