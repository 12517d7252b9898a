// core/link/core.h — the control thread's half of a peer: handlers, calls in flight, events from the connection.
//
// Shared by the Peer, the coroutines of its calls and handlers, and events on their way, so that any of them may go
// first. Control thread only.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <unordered_map>

#include "core/link/connection.h"
#include "core/link/handshake.h"
#include "core/link/peer.h"

namespace dagger::link {

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Loop& loop, std::shared_ptr<Connection> connection)
      : loop_(loop), connection_(std::move(connection)), group_(loop) {}

  void start();
  static Task<std::string> call(std::shared_ptr<Core> self, std::string method, std::string request,
                                CancelToken cancel);
  static Task<void> join(std::shared_ptr<Core> self);
  std::shared_ptr<Stream> open(const std::string& method, const std::string& request);
  void notify(const std::string& method, const std::string& message);
  std::size_t backlog() const { return connection_->backlog(); }
  void close();
  void on_closed(Function<void(std::string)> f);
  void forget_owner() { on_closed_ = {}; }

  std::map<std::string, Handler, std::less<>> handlers;
  std::map<std::string, StreamHandler, std::less<>> stream_handlers;
  std::map<std::string, Function<void(std::string)>, std::less<>> notify_handlers;

 private:
  struct Pending;
  static Task<void> serve(std::shared_ptr<Core> self, ChannelId id, std::string method, std::string request,
                          CancelToken cancel);
  void on_events(std::vector<ChannelEvent> events);
  void drain();
  void on_event(ChannelEvent& event);
  void on_notify(ChannelEvent& event);
  void on_stream(ChannelEvent& event);
  void cancel_call(ChannelId id, const std::string& reason);
  void end(const std::string& reason);
  void tell_closed();

  Loop& loop_;
  std::shared_ptr<Connection> connection_;
  TaskGroup group_;
  std::unordered_map<ChannelId, OneShot<std::string>> pending_;
  std::unordered_map<ChannelId, CancelSource> running_;
  std::unordered_map<ChannelId, std::weak_ptr<StreamState>> streams_;  // incoming
  std::deque<ChannelEvent> inbox_;
  bool draining_ = false;
  bool closed_ = false;
  std::string reason_;
  Function<void(std::string)> on_closed_;
};

std::unique_ptr<Peer> make_peer(Loop& loop, std::shared_ptr<Connection> connection, Identity other);

}  // namespace dagger::link
