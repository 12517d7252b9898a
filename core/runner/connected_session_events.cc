// Events on their way to the client.
#include <chrono>

#include "core/runner/connected_session.h"

namespace dagger::runner {
namespace {

constexpr std::size_t max_pending_output = 1 << 20;   // beyond it, output is left out of the stream (the log has it)
constexpr std::size_t max_pending = 100'000;          // events of any kind
constexpr std::size_t max_pending_progress = 10'000;  // events; beyond it, progress is left out as well
constexpr std::size_t events_at_once = 1000;          // in one notification, in one turn of the control thread
constexpr std::size_t event_text_at_once = 256 << 10;
constexpr std::size_t max_backlog = 4 << 20;  // events wait until the link has sent most of what it holds
constexpr std::chrono::milliseconds backlog_pause{20};

}  // namespace

void ConnectedSession::event(const link::Event& event) {
  if (closed_ || pending_.size() > max_pending ||
      (pending_output_ > max_pending_output && event.kind == link::EventKind::log) ||
      (pending_.size() > max_pending_progress && event.kind == link::EventKind::progress))
    return;
  pending_output_ += event.text.size();
  pending_.push_back(event);
  pending_.back().time_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  if (!std::exchange(flushing_, true)) flush_soon();
}

void ConnectedSession::flush_soon() {
  loop_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->flush_events();
  });
}

// A client may end as soon as it has its answer, so what led to that is told before.
void ConnectedSession::flush_before_reply() {
  if (flushing_ && !later_.active()) flush_events();
}

void ConnectedSession::flush_events() {
  if (closed_) return;
  if (pending_.empty()) {  // sent before a reply
    flushing_ = false;
    return;
  }
  if (peer_->backlog() > max_backlog) {  // a client that reads slowly
    later_ = loop_.after(backlog_pause, [this] { flush_events(); });
    return;
  }
  link::Events now;
  for (std::size_t text = 0; !pending_.empty() && text < event_text_at_once && now.events.size() < events_at_once;
       pending_.pop_front()) {
    text += pending_.front().text.size();
    now.events.push_back(std::move(pending_.front()));
  }
  for (const auto& event : now.events) pending_output_ -= event.text.size();
  peer_->notify(link::method::events, cbor::pack(now));
  flushing_ = !pending_.empty();
  if (flushing_) flush_soon();
}

}  // namespace dagger::runner
