// core/link/connection.h — a link that has shaken hands: the protocol (Mux) on a Wire, driven by the I/O thread.
//
// Shared by the I/O thread, the control thread (Peer) and the threads that use its streams; one lock guards all of it
// and is never held across a system call that may block. Whoever queues something also tries to send it, so that a
// small call costs no change of thread; what the socket does not take at once is left to the I/O thread. Once dead() is
// set under the lock nothing reaches the io_context any more, so that a Connection may outlive the Transport.
#pragma once
#include <chrono>
#include <mutex>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/base/function.h"
#include "core/link/mux.h"
#include "core/link/wire.h"

namespace dagger::link {

// What all connections of an I/O thread share; used on that thread.
struct IoContext {
  explicit IoContext(boost::asio::io_context& context) : io(context), buffer(256 << 10, '\0') {}
  boost::asio::io_context& io;
  std::string buffer;  // for receiving
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    bool initiator = false;
    std::chrono::milliseconds dead_after{5000};
    std::chrono::milliseconds ping_every{1000};
    Limits limits;
  };

  // early: what arrived with the end of the handshake. I/O thread.
  Connection(IoContext& context, Wire wire, std::string early, Options options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to ping. on_gone runs on the I/O thread when the connection is over. I/O thread, once.
  void attach(Function<void()> on_gone);
  // Begins to receive. deliver runs on the I/O thread, with the last event being `closed`. [thread-safe], once.
  void start(Function<void(std::vector<ChannelEvent>)> deliver);
  // Ends at once. I/O thread.
  void abort() { lost("the program ends"); }
  // Delivered events that cost so much have been handled. [thread-safe]
  void handled(std::size_t cost);
  std::size_t backlog();  // bytes that wait to be sent [thread-safe]

  // Calls: the control thread. They throw Error{unavailable, why} when the link is dead.
  ChannelId call(std::string_view method, std::string_view request);
  std::shared_ptr<StreamState> open(std::string_view method, std::string_view request);
  void cancel(ChannelId call, std::string_view reason);
  void reply(ChannelId call, std::string result);
  void fail(ChannelId call, const Error& error, const std::string* details = nullptr);
  void notify(std::string_view method, std::string_view message);
  // Sends what is queued, says goodbye and ends; bounded by `linger`. Nothing is delivered afterwards. [thread-safe]
  void close(std::string reason);

  // Streams: any thread.
  std::string read(StreamState& s);
  void write(StreamState& s, std::string_view bytes);
  void finish(StreamState& s);
  void reset(StreamState& s, const Error& why);
  void cancel(StreamState& s);
  void drop(StreamState& s);

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Descriptor = boost::asio::posix::stream_descriptor;
  static constexpr std::size_t batch_size = 256 << 10;
  static constexpr std::chrono::milliseconds linger{1000};
  static constexpr std::size_t max_backlog = 16 << 20;

  void check_alive() const;
  void pump(Lock& lock, std::size_t budget);
  void on_io_thread(void (Connection::*f)());
  void continue_sending();
  void wait_writable();
  void arm_read();
  void receive();
  bool receive_once();
  void tick();
  void arm_tick();
  void say_end();
  void write_broken();
  void begin();
  void deliver_closed(std::string reason);
  void lost(std::string reason);

  IoContext& context_;
  Options options_;
  std::mutex mutex_;
  Mux mux_;
  Wire wire_;
  Batch batch_;  // owned by who set sending_
  bool sending_ = false;
  bool blocked_ = false;  // the socket is full; the I/O thread waits for it
  int write_error_ = 0;
  bool closing_ = false;  // goodbye is said or queued: nothing is delivered any more
  bool ended_ = false;    // the goodbye has left
  bool dead_ = false;
  bool released_ = false;  // dead, and Asio no longer knows the fds: whoever sends last closes them
  std::string reason_;
  std::size_t backlog_ = 0;  // cost of events that are not handled
  bool paused_ = false;      // not receiving because of it
  bool started_ = false;
  Clock::time_point last_sent_, last_progress_;

  // I/O thread only.
  std::string early_;
  std::optional<Descriptor> reader_, writer_;
  std::optional<boost::asio::steady_timer> timer_;
  Clock::time_point last_received_, close_by_;
  bool reading_ = false;
  Function<void(std::vector<ChannelEvent>)> deliver_;
  Function<void()> on_gone_;
};

}  // namespace dagger::link
