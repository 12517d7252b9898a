// core/link/mux.h — the protocol of one link after the handshake: channels, messages in parts, windows, limits. Pure:
// no I/O and no threads of its own; Connection guards it with its lock.
//
// Bytes that arrive become events for the control thread or wake readers of streams; what is to be sent goes to the
// outbox. Everything the other end can make grow has a limit here. Errors: Error{corrupt_data} from receive() for a
// violation of the protocol, after which the link is closed.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/base/cancel.h"
#include "core/link/outbox.h"
#include "dagger/plugin/error.h"

namespace dagger::link {

inline constexpr std::size_t first_window = 64 << 10;  // part of the protocol: what may be sent before any credit

struct Limits {
  std::size_t message = 64 << 20;   // one request, reply, error or notification
  std::size_t partial = 256 << 20;  // all messages that are being put together
  std::size_t queued = 256 << 20;   // all that waits to be sent; beyond it replies turn into errors
  std::size_t asked = 256 << 20;    // requests that are being answered
  std::size_t calls = 4096;         // incoming and unanswered
  std::size_t streams = 1024;       // incoming
  std::size_t window = 8 << 20;     // of one stream, when its reader keeps up
  std::size_t windows = 64 << 20;   // what all streams' windows may have beyond the first
  std::size_t unsent = 256 << 10;   // of one stream
};

// One stream's state, shared by its user and the link.
struct StreamState {
  explicit StreamState(ChannelId channel) : id(channel) {}
  const ChannelId id;
  std::condition_variable readable, writable;
  std::deque<std::string> in;          // arrived, not read
  std::size_t window = first_window;   // what the other side may have outstanding
  std::size_t granted = first_window;  // what it may still send
  std::size_t consumed = 0;            // read since the last credit
  bool reader_waited = false;          // since the last credit: the window is what limits
  std::size_t credit = first_window;   // what this side may still send
  std::size_t unsent = 0;              // in the outbox
  bool in_end = false, out_end = false;
  bool cancelled = false;
  std::optional<Error> failed;
  CancelSource over;  // control thread: the other side has reset it, or the link is dead
  void wake() { readable.notify_all(), writable.notify_all(); }
};

// What the control thread gets to know.
struct ChannelEvent {
  enum class Kind { call, stream, notify, cancel, reply, error, closed };
  Kind kind{};
  ChannelId channel = 0;
  std::string name;   // method
  std::string bytes;  // request, result, message or reason
  std::exception_ptr error;
  std::size_t error_size = 0;
  std::shared_ptr<StreamState> stream;
  std::size_t cost() const noexcept { return 256 + name.size() + bytes.size() + error_size; }
};

class Mux {
 public:
  // initiator: this side connected; its channels are odd.
  explicit Mux(bool initiator, Limits limits = {}) : limits_(limits), next_(initiator ? 1 : 2) {}

  // Control thread's side. Messages beyond the limit throw Error{invalid_argument}.
  ChannelId call(std::string_view method, std::string_view request);
  void cancel(ChannelId call, std::string_view reason);
  void reply(ChannelId call, std::string result);
  void fail(ChannelId call, const Error& error, const std::string* details = nullptr);  // details: of a DetailedError
  std::shared_ptr<StreamState> open(std::string_view method, std::string_view request);
  void notify(std::string_view method, std::string_view message);

  // Streams. room: how much write may be given now.
  std::size_t room(const StreamState& s) const;
  void reserve(StreamState& s, std::size_t n);
  void write(StreamState& s, std::string bytes);  // as much as was reserved
  void finish(StreamState& s);
  void reset(StreamState& s, const Error& why);
  void drop(StreamState& s);         // its user is gone
  std::string read(StreamState& s);  // when something arrived; gives credit

  // The wire's side.
  void receive(std::string_view bytes, std::vector<ChannelEvent>& events);
  void take(Batch& batch, std::size_t limit);
  void ping();
  void close(std::string_view reason);  // after all that is queued
  void kill(const Error& why);          // every stream fails, nothing is sent any more
  bool nothing_to_send() const noexcept { return outbox_.empty() && !closing_; }
  std::size_t queued() const noexcept { return outbox_.queued(); }

 private:
  // A message that arrives in parts.
  struct Partial {
    bool active = false;
    Type type{};
    std::string bytes;
  };
  struct Channel {
    bool is_stream = false;
    bool answering = false;  // an incoming call whose handler runs
    std::size_t asked = 0;   // size of the request that its handler may hold
    Partial in;
    std::shared_ptr<StreamState> stream;
  };
  using Channels = std::unordered_map<ChannelId, Channel>;
  using Events = std::vector<ChannelEvent>;

  void check_size(std::string_view what, std::size_t size) const;
  bool ours(ChannelId id) const noexcept { return id % 2 == next_ % 2; }
  Channel* find(ChannelId id);  // null: ended already; throws if it never existed
  void on_frame(const FrameHeader& h, std::string_view payload, Events& events);
  void on_opening(const FrameHeader& h, std::string_view payload, Events& events);
  void on_part(const FrameHeader& h, std::string_view payload, Events& events);
  void on_stream_frame(const FrameHeader& h, std::string_view payload);
  void on_cancel(ChannelId id, std::string_view reason, Events& events);
  void begin(Partial& in, const FrameHeader& h);
  bool append(Partial& in, std::string_view part);  // false: too large
  void too_large(ChannelId id, Channel* channel, Events& events);
  void complete(ChannelId id, Channel* channel, Events& events);
  bool hold(Channel& channel, std::size_t size);  // false: too much
  void complete_error(ChannelId id, Channel& channel, std::string bytes, Events& events);
  void erase(ChannelId id);
  void send_error(ChannelId id, const Error& error, const std::string* details = nullptr);

  const Limits limits_;
  Outbox outbox_;
  FrameReader reader_;
  Channels channels_;
  Partial notification_;
  ChannelId next_;
  ChannelId last_remote_ = 0;
  std::size_t partial_ = 0, asked_ = 0;
  std::size_t calls_ = 0, streams_ = 0;  // incoming
  std::size_t extra_windows_ = 0;
  std::optional<std::string> closing_;
};

}  // namespace dagger::link
