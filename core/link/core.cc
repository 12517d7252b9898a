#include "core/link/core.h"

namespace dagger::link {
namespace {

constexpr int events_in_a_row = 64;  // then other work of the control thread gets its turn

class LinkStream final : public Stream {
 public:
  LinkStream(std::shared_ptr<Connection> connection, std::shared_ptr<StreamState> state)
      : connection_(std::move(connection)), state_(std::move(state)) {}
  ~LinkStream() override { connection_->drop(*state_); }
  LinkStream(const LinkStream&) = delete;
  LinkStream& operator=(const LinkStream&) = delete;
  std::string read() override { return connection_->read(*state_); }
  void write(std::string_view bytes) override { connection_->write(*state_, bytes); }
  void finish() override { connection_->finish(*state_); }
  void reset(const Error& why) override { connection_->reset(*state_, why); }
  void cancel() override { connection_->cancel(*state_); }

 private:
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<StreamState> state_;
};

class LinkPeer final : public Peer {
 public:
  LinkPeer(std::shared_ptr<Core> core, Identity other) : core_(std::move(core)), other_(std::move(other)) {}
  ~LinkPeer() override {
    core_->forget_owner();
    core_->close();
  }
  LinkPeer(const LinkPeer&) = delete;
  LinkPeer& operator=(const LinkPeer&) = delete;

  void serve(std::string method, Handler handler) override {
    core_->handlers.insert_or_assign(std::move(method), std::move(handler));
  }
  void serve_stream(std::string method, StreamHandler handler) override {
    core_->stream_handlers.insert_or_assign(std::move(method), std::move(handler));
  }
  void serve_notify(std::string method, Function<void(std::string)> handler) override {
    core_->notify_handlers.insert_or_assign(std::move(method), std::move(handler));
  }
  void start() override { core_->start(); }
  Task<std::string> call(std::string method, std::string request, CancelToken cancel) override {
    return Core::call(core_, std::move(method), std::move(request), std::move(cancel));
  }
  std::shared_ptr<Stream> open(std::string method, std::string request) override {
    return core_->open(method, request);
  }
  void notify(std::string method, std::string message) override { core_->notify(method, message); }
  std::size_t backlog() const override { return core_->backlog(); }
  const Identity& other() const override { return other_; }
  void on_closed(Function<void(std::string)> f) override { core_->on_closed(std::move(f)); }
  void close() override { core_->close(); }
  Task<void> join() override { return Core::join(core_); }

 private:
  std::shared_ptr<Core> core_;
  Identity other_;
};

}  // namespace

std::unique_ptr<Peer> make_peer(Loop& loop, std::shared_ptr<Connection> connection, Identity other) {
  return std::make_unique<LinkPeer>(std::make_shared<Core>(loop, std::move(connection)), std::move(other));
}

void Core::start() {
  connection_->start([weak = weak_from_this(), &loop = loop_](std::vector<ChannelEvent> events) {
    loop.post([weak, events = std::move(events)]() mutable {
      if (const auto self = weak.lock()) self->on_events(std::move(events));
    });
  });
}

// ---- this side asks

// Forgets a call whose coroutine ends, whichever way.
struct Core::Pending {
  Core& core;
  ChannelId id;
  ~Pending() { core.pending_.erase(id); }
};

Task<std::string> Core::call(std::shared_ptr<Core> self, std::string method, std::string request, CancelToken cancel) {
  cancel.throw_if_cancelled();
  const ChannelId id = self->connection_->call(method, request);
  request = {};
  const OneShot<std::string> result(self->loop_);
  self->pending_.emplace(id, result);
  const Pending pending{*self, id};
  // Any thread may cancel; the call ends on this one.
  const auto subscription = cancel.on_cancel([weak = std::weak_ptr(self), &loop = self->loop_, token = cancel, id] {
    loop.post([weak, reason = token.reason(), id] {
      if (const auto core = weak.lock()) core->cancel_call(id, reason);
    });
  });
  co_return co_await result;
}

void Core::cancel_call(ChannelId id, const std::string& reason) {
  const auto found = pending_.find(id);
  if (found == pending_.end() || found->second.done()) return;
  connection_->cancel(id, reason);
  found->second.fail(std::make_exception_ptr(Error(Code::cancelled, reason)));
}

std::shared_ptr<Stream> Core::open(const std::string& method, const std::string& request) {
  return std::make_shared<LinkStream>(connection_, connection_->open(method, request));
}

void Core::notify(const std::string& method, const std::string& message) {
  try {
    connection_->notify(method, message);
  } catch (const Error& e) {  // it does not read: without one notification the later ones would mean something else
    connection_->close(e.message());
    end(e.message());
  }
}

// ---- the other side asks

Task<void> Core::serve(std::shared_ptr<Core> self, ChannelId id, std::string method, std::string request,
                       CancelToken cancel) {
  try {
    const auto handler = self->handlers.find(method);
    if (handler == self->handlers.end())
      throw Error(Code::unsupported, "the other end does not know the method '" + method + "'; its version may differ");
    std::string result = co_await handler->second(std::move(request), std::move(cancel));
    self->connection_->reply(id, std::move(result));
  } catch (const DetailedError& e) {
    self->connection_->fail(id, e.error(), &e.details());
  } catch (const Error& e) {
    self->connection_->fail(id, e);
  } catch (const std::exception& e) {
    self->connection_->fail(id, Error(Code::internal, method + ": " + e.what()));
  }
  self->running_.erase(id);
}

void Core::on_events(std::vector<ChannelEvent> events) {
  for (auto& event : events) inbox_.push_back(std::move(event));
  if (!draining_) drain();
}

void Core::drain() {
  draining_ = true;
  std::size_t cost = 0;
  for (int i = 0; i < events_in_a_row && !inbox_.empty(); ++i) {
    ChannelEvent event = std::move(inbox_.front());
    inbox_.pop_front();
    if (event.kind != ChannelEvent::Kind::closed) cost += event.cost();
    on_event(event);
  }
  if (cost > 0) connection_->handled(cost);
  draining_ = !inbox_.empty();
  if (draining_) {
    loop_.post([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->drain();
    });
  }
}

void Core::on_event(ChannelEvent& event) {
  if (closed_) return;
  switch (event.kind) {
    case ChannelEvent::Kind::call: {
      const CancelToken token = running_[event.channel].token();
      group_.spawn(serve(shared_from_this(), event.channel, std::move(event.name), std::move(event.bytes), token));
      return;
    }
    case ChannelEvent::Kind::stream:
      return on_stream(event);
    case ChannelEvent::Kind::notify:
      return on_notify(event);
    case ChannelEvent::Kind::cancel:
      if (event.stream) return event.stream->over.request(std::move(event.bytes));
      if (const auto found = running_.find(event.channel); found != running_.end()) {
        CancelSource source = found->second;  // the handler may end, and go, inside
        source.request(std::move(event.bytes));
      }
      return;
    case ChannelEvent::Kind::reply:
      if (const auto found = pending_.find(event.channel); found != pending_.end())
        found->second.set(std::move(event.bytes));
      return;
    case ChannelEvent::Kind::error:
      if (const auto found = pending_.find(event.channel); found != pending_.end()) found->second.fail(event.error);
      return;
    case ChannelEvent::Kind::closed:
      return end(event.bytes);
  }
}

// Nobody waits for an answer that could carry an error, so one ends the link.
void Core::on_notify(ChannelEvent& event) {
  const auto handler = notify_handlers.find(event.name);
  if (handler == notify_handlers.end()) return;
  try {
    handler->second(std::move(event.bytes));
  } catch (const std::exception& e) {
    const std::string why = "the notification '" + event.name + "' could not be read: " + e.what();
    connection_->close(why);
    end(why);
  }
}

void Core::on_stream(ChannelEvent& event) {
  std::erase_if(streams_, [](const auto& s) { return s.second.expired(); });
  streams_[event.channel] = event.stream;
  const CancelToken over = event.stream->over.token();
  auto stream = std::make_shared<LinkStream>(connection_, std::move(event.stream));
  const auto handler = stream_handlers.find(event.name);
  if (handler == stream_handlers.end())
    return stream->reset(Error(Code::unsupported,
                               "the other end does not know the stream '" + event.name + "'; its version may differ"));
  try {
    handler->second(std::move(event.bytes), stream, over);
  } catch (const Error& e) {
    stream->reset(e);
  } catch (const std::exception& e) {
    stream->reset(Error(Code::internal, event.name + ": " + e.what()));
  }
}

// ---- the end

void Core::close() {
  connection_->close({});
  end({});
}

void Core::end(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  reason_ = reason;
  const auto why = std::make_exception_ptr(Error(Code::unavailable, reason.empty() ? "the link is closed" : reason));
  for (const auto& [id, result] : pending_) result.fail(why);
  const auto running = running_;  // copies: handlers may end inside
  const std::string text = reason.empty() ? "the link is closed" : reason;
  for (auto [id, source] : running) source.request(text);
  for (const auto& [id, weak] : std::exchange(streams_, {}))
    if (const auto stream = weak.lock()) stream->over.request(text);
  tell_closed();
}

void Core::tell_closed() {
  loop_.post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->on_closed_) return;
    auto f = std::exchange(self->on_closed_, {});
    f(self->reason_);
  });
}

void Core::on_closed(Function<void(std::string)> f) {
  on_closed_ = std::move(f);
  if (closed_) tell_closed();
}

Task<void> Core::join(std::shared_ptr<Core> self) {
  self->close();
  co_await self->group_.join();
}

}  // namespace dagger::link
