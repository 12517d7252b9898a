#include "core/link/mux.h"

#include <algorithm>

#include "core/base/cbor.h"
#include "core/link/peer.h"

namespace dagger::link {
namespace {

constexpr std::size_t max_method = 255;
constexpr std::size_t max_reason = 4096;

[[noreturn]] void violation(const std::string& why) { throw Error(Code::corrupt_data, "protocol violation: " + why); }

// method length u8 | method | body
std::string with_method(std::string_view method, std::string_view body) {
  if (method.empty() || method.size() > max_method)
    throw Error(Code::internal, "a method name of " + std::to_string(method.size()) + " bytes");
  std::string out;
  out.reserve(1 + method.size() + body.size());
  out += static_cast<char>(method.size());
  (out += method) += body;
  return out;
}

std::string take_method(std::string& bytes) {
  const std::size_t size = bytes.empty() ? 0 : static_cast<unsigned char>(bytes[0]);
  if (size == 0 || bytes.size() < 1 + size) violation("a message without a method");
  std::string method = bytes.substr(1, size);
  bytes.erase(0, 1 + size);
  return method;
}

std::string credit_payload(std::size_t n) {
  const auto v = static_cast<std::uint32_t>(n);
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}

std::size_t parse_credit(std::string_view payload) {
  if (payload.size() != 4) violation("a credit of " + std::to_string(payload.size()) + " bytes");
  std::size_t n = 0;
  for (const char c : payload) n = (n << 8) | static_cast<unsigned char>(c);
  return n;
}

// [code, message, details or null]
std::string encode_error(const Error& error, const std::string* details) {
  cbor::Writer w;
  w.array(3).uint(static_cast<std::uint64_t>(error.code())).text(error.what());
  if (details == nullptr) {
    w.null();
  } else {
    w.bytes(*details);
  }
  return std::move(w).str();
}

struct WireError {
  Error error;
  std::optional<std::string> details;
};

WireError decode_error(std::string_view bytes) {
  cbor::Reader r(bytes);
  r.array(3);
  const std::uint64_t code = r.uint();
  const bool known =
      code >= static_cast<std::uint64_t>(Code::invalid_argument) && code <= static_cast<std::uint64_t>(Code::internal);
  Error error(known ? static_cast<Code>(code) : Code::internal, std::string(r.text()));
  std::optional<std::string> details;
  if (!r.null()) details = r.bytes();
  r.expect_end();
  return {std::move(error), std::move(details)};
}

std::exception_ptr to_exception(WireError e) {
  if (!e.details) return std::make_exception_ptr(std::move(e.error));
  return std::make_exception_ptr(DetailedError(std::move(e.error), std::move(*e.details)));
}

}  // namespace

void Mux::check_size(std::string_view what, std::size_t size) const {
  if (size > limits_.message)
    throw Error(Code::invalid_argument, std::string(what) + " of " + std::to_string(size) +
                                            " bytes is larger than a message may be (" +
                                            std::to_string(limits_.message) + "); send it in a stream");
  if (outbox_.queued() + size > limits_.queued)
    throw Error(Code::unavailable,
                std::to_string(outbox_.queued()) + " bytes wait to be sent: the other end does not read");
}

ChannelId Mux::call(std::string_view method, std::string_view request) {
  std::string message = with_method(method, request);
  check_size("a request", message.size());
  const ChannelId id = next_;
  next_ += 2;
  channels_[id];
  outbox_.push(id, Type::call, std::move(message));
  return id;
}

void Mux::cancel(ChannelId call, std::string_view reason) {
  const auto found = channels_.find(call);
  if (found == channels_.end()) return;
  erase(call);
  if (outbox_.drop(call)) outbox_.push(call, Type::cancel, std::string(reason.substr(0, max_reason)));
}

void Mux::reply(ChannelId call, std::string result) {
  if (!channels_.contains(call)) return;  // cancelled, or the link is dead
  if (result.size() > limits_.message)
    return fail(call, Error(Code::no_space, "the reply has " + std::to_string(result.size()) +
                                                " bytes, more than a message may have (" +
                                                std::to_string(limits_.message) + ")"));
  if (outbox_.queued() + result.size() > limits_.queued)
    return fail(call, Error(Code::no_space, "the caller does not read its replies"));
  erase(call);
  outbox_.push(call, Type::reply, std::move(result));
}

void Mux::fail(ChannelId call, const Error& error, const std::string* details) {
  if (!channels_.contains(call)) return;
  erase(call);
  send_error(call, error, details);
}

void Mux::send_error(ChannelId id, const Error& error, const std::string* details) {
  const std::size_t size = details != nullptr ? details->size() : 0;
  const bool fits = size <= limits_.message / 2 && outbox_.queued() + size <= limits_.queued;
  std::string text = error.what();
  if (text.size() > limits_.message / 4) text.resize(limits_.message / 4);
  outbox_.push(id, Type::error, encode_error(Error(error.code(), std::move(text)), fits ? details : nullptr));
}

std::shared_ptr<StreamState> Mux::open(std::string_view method, std::string_view request) {
  std::string message = with_method(method, request);
  check_size("a request", message.size());
  const ChannelId id = next_;
  next_ += 2;
  Channel& channel = channels_[id];
  channel.is_stream = true;
  channel.stream = std::make_shared<StreamState>(id);
  outbox_.push(id, Type::open, std::move(message));
  return channel.stream;
}

void Mux::notify(std::string_view method, std::string_view message) {
  std::string whole = with_method(method, message);
  check_size("a notification", whole.size());
  outbox_.push(0, Type::notify, std::move(whole));
}

std::size_t Mux::room(const StreamState& s) const {
  return std::min(s.credit, limits_.unsent - std::min(limits_.unsent, s.unsent));
}

void Mux::reserve(StreamState& s, std::size_t n) {
  s.credit -= n;
  s.unsent += n;
}

void Mux::write(StreamState& s, std::string bytes) {
  if (!s.failed && channels_.contains(s.id)) outbox_.push(s.id, Type::data, std::move(bytes));
}

void Mux::finish(StreamState& s) {
  if (s.out_end || s.failed || !channels_.contains(s.id)) return;
  s.out_end = true;
  outbox_.push(s.id, Type::finish, {});
  if (s.in_end) erase(s.id);
}

void Mux::reset(StreamState& s, const Error& why) {
  if (!s.failed) s.failed = why;
  s.wake();
  if (!channels_.contains(s.id)) return;
  erase(s.id);
  // The other side may not even know the stream yet.
  if (outbox_.drop(s.id)) send_error(s.id, why);
}

void Mux::drop(StreamState& s) {
  if (!channels_.contains(s.id)) return;
  const Error why(Code::cancelled, "the other end of the stream is gone");
  if (!s.out_end) return reset(s, why);
  erase(s.id);  // what was written and finished is still delivered
  send_error(s.id, why);
}

std::string Mux::read(StreamState& s) {
  std::string bytes = std::move(s.in.front());
  s.in.pop_front();
  s.consumed += bytes.size();
  if (s.in.empty()) s.reader_waited = true;
  if (s.in_end || s.failed || s.consumed < s.window / 2 || !channels_.contains(s.id)) return bytes;
  std::size_t more = s.consumed;
  // A reader that empties its window before the half of it is renewed could read faster: double it, if that is allowed.
  if (s.reader_waited && s.window < limits_.window && extra_windows_ + s.window <= limits_.windows) {
    extra_windows_ += s.window;
    more += s.window;
    s.window *= 2;
  }
  s.granted += more;
  s.consumed = 0;
  s.reader_waited = false;
  outbox_.push_control(s.id, Type::credit, credit_payload(more));
  return bytes;
}

void Mux::erase(ChannelId id) {
  const auto found = channels_.find(id);
  if (found == channels_.end()) return;
  Channel& channel = found->second;
  partial_ -= channel.in.bytes.size();
  asked_ -= channel.asked;
  if (channel.stream) extra_windows_ -= channel.stream->window - first_window;
  if (!ours(id)) --(channel.is_stream ? streams_ : calls_);
  channels_.erase(found);
}

void Mux::take(Batch& batch, std::size_t limit) {
  outbox_.take(batch, limit);
  for (const auto& piece : batch.pieces) {
    if (piece.header.type != Type::data) continue;
    const auto found = channels_.find(piece.header.channel);
    if (found == channels_.end() || !found->second.stream) continue;
    found->second.stream->unsent -= piece.payload.size();
    found->second.stream->writable.notify_all();
  }
  if (batch.bytes < limit && outbox_.empty() && closing_) {
    outbox_.push_control(0, Type::close, *std::exchange(closing_, std::nullopt));
    outbox_.take(batch, batch.bytes + 1);
  }
}

void Mux::ping() { outbox_.push_control(0, Type::ping, {}); }

void Mux::close(std::string_view reason) {
  const Error why(Code::unavailable, reason.empty() ? "the link is closed" : std::string(reason));
  std::vector<std::shared_ptr<StreamState>> open;
  for (const auto& [id, channel] : channels_)
    if (channel.stream) open.push_back(channel.stream);
  for (const auto& s : open) {
    if (s->out_end) {
      erase(s->id);  // all its bytes are queued
    } else {
      reset(*s, why);
    }
    if (!s->failed) s->failed = why;
    s->wake();
  }
  closing_ = std::string(reason.substr(0, max_reason));
}

void Mux::kill(const Error& why) {
  for (const auto& [id, channel] : channels_) {
    if (!channel.stream) continue;
    if (!channel.stream->failed) channel.stream->failed = why;
    channel.stream->wake();
  }
  channels_.clear();
  outbox_.clear();
  notification_ = {};
  closing_.reset();
  partial_ = asked_ = calls_ = streams_ = extra_windows_ = 0;
}

void Mux::receive(std::string_view bytes, std::vector<ChannelEvent>& events) {
  reader_.feed(bytes, [&](const FrameHeader& h, std::string_view payload) { on_frame(h, payload, events); });
  // Replies stop at the limit by themselves; what is above it are refusals of a flood.
  if (outbox_.queued() > limits_.queued + limits_.queued / 4) violation("it asks and does not read");
}

Mux::Channel* Mux::find(ChannelId id) {
  const auto found = channels_.find(id);
  if (found != channels_.end()) return &found->second;
  if (id == 0 || (ours(id) ? id >= next_ : id > last_remote_))
    violation("a frame for channel " + std::to_string(id) + ", which was never opened");
  return nullptr;
}

void Mux::on_frame(const FrameHeader& h, std::string_view payload, Events& events) {
  const bool message = h.type <= Type::error;
  if (h.more && !message) violation("a frame that cannot go on says that it does");
  switch (h.type) {
    case Type::call:
    case Type::open:
      return on_opening(h, payload, events);
    case Type::notify:
    case Type::more:
    case Type::reply:
    case Type::error:
      return on_part(h, payload, events);
    case Type::cancel:
      return on_cancel(h.channel, payload, events);
    case Type::data:
    case Type::finish:
    case Type::credit:
      return on_stream_frame(h, payload);
    case Type::ping:
      if (h.channel != 0 || h.length != 0) violation("a ping with content");
      return;
    case Type::close:
      if (h.channel != 0) violation("a close of a channel");
      events.push_back({.kind = ChannelEvent::Kind::closed, .bytes = std::string(payload.substr(0, max_reason))});
      return;
  }
}

void Mux::on_opening(const FrameHeader& h, std::string_view payload, Events& events) {
  if (h.channel == 0 || ours(h.channel) || h.channel <= last_remote_)
    violation("channel " + std::to_string(h.channel) + " cannot be opened");
  last_remote_ = h.channel;
  const bool is_stream = h.type == Type::open;
  std::size_t& count = is_stream ? streams_ : calls_;
  const std::size_t limit = is_stream ? limits_.streams : limits_.calls;
  if (count >= limit) {
    send_error(h.channel, Error(Code::unavailable, "more than " + std::to_string(limit) +
                                                       (is_stream ? " streams" : " calls") + " at once"));
    return;
  }
  ++count;
  Channel& channel = channels_[h.channel];
  channel.is_stream = is_stream;
  if (is_stream) channel.stream = std::make_shared<StreamState>(h.channel);
  begin(channel.in, h);
  if (!append(channel.in, payload)) return too_large(h.channel, &channel, events);
  if (!h.more) complete(h.channel, &channel, events);
}

void Mux::on_part(const FrameHeader& h, std::string_view payload, Events& events) {
  if (h.type == Type::notify && h.channel != 0) violation("a notification on a channel");
  Channel* channel = nullptr;
  if (h.channel != 0) {
    channel = find(h.channel);
    if (channel == nullptr) return;  // its end crossed this frame
  }
  Partial& in = channel != nullptr ? channel->in : notification_;
  if (h.type == Type::more) {
    if (!in.active) violation("a part of no message");
  } else {
    const bool fits = h.type == Type::notify ||
                      (channel != nullptr && (channel->is_stream ? h.type == Type::error : ours(h.channel)));
    if (!fits) violation("a reply to no call");
    // An error may cut off the request of a stream, nothing else may come in between.
    if (in.active && h.type != Type::error) violation("a message inside a message");
    partial_ -= in.bytes.size();
    begin(in, h);
  }
  if (!append(in, payload)) return too_large(h.channel, channel, events);
  if (!h.more) complete(h.channel, channel, events);
}

void Mux::begin(Partial& in, const FrameHeader& h) {
  in = {};
  in.active = true;
  in.type = h.type;
}

bool Mux::append(Partial& in, std::string_view part) {
  if (in.bytes.size() + part.size() > limits_.message || partial_ + part.size() > limits_.partial) return false;
  in.bytes += part;
  partial_ += part.size();
  return true;
}

void Mux::too_large(ChannelId id, Channel* channel, Events& events) {
  const Error why(Code::no_space, "a message is larger than may be held (" + std::to_string(limits_.message) +
                                      " bytes, all at once " + std::to_string(limits_.partial) +
                                      "); send it in a stream");
  if (channel == nullptr) violation("a notification that is too large");
  if (channel->is_stream) {
    const auto s = channel->stream;
    return reset(*s, why);
  }
  if (ours(id)) {
    events.push_back({.kind = ChannelEvent::Kind::error, .channel = id, .error = std::make_exception_ptr(why)});
    return cancel(id, why.message());
  }
  fail(id, why);
}

void Mux::complete(ChannelId id, Channel* channel, Events& events) {
  Partial& in = channel != nullptr ? channel->in : notification_;
  in.active = false;
  partial_ -= in.bytes.size();
  std::string bytes = std::exchange(in.bytes, {});
  if (in.type == Type::notify) {
    std::string name = take_method(bytes);
    events.push_back({.kind = ChannelEvent::Kind::notify, .name = std::move(name), .bytes = std::move(bytes)});
    return;
  }
  if ((in.type == Type::call || in.type == Type::open) && !hold(*channel, bytes.size())) {
    const Error why(Code::no_space, "requests of more than " + std::to_string(limits_.asked) +
                                        " bytes are being answered: wait for some replies");
    if (channel->is_stream) {
      const auto s = channel->stream;
      return reset(*s, why);
    }
    return fail(id, why);
  }
  switch (in.type) {
    case Type::call: {
      std::string name = take_method(bytes);
      channel->answering = true;
      events.push_back(
          {.kind = ChannelEvent::Kind::call, .channel = id, .name = std::move(name), .bytes = std::move(bytes)});
      return;
    }
    case Type::open: {
      std::string name = take_method(bytes);
      events.push_back({.kind = ChannelEvent::Kind::stream,
                        .channel = id,
                        .name = std::move(name),
                        .bytes = std::move(bytes),
                        .stream = channel->stream});
      return;
    }
    case Type::reply:
      erase(id);
      events.push_back({.kind = ChannelEvent::Kind::reply, .channel = id, .bytes = std::move(bytes)});
      return;
    default:
      return complete_error(id, *channel, std::move(bytes), events);
  }
}

bool Mux::hold(Channel& channel, std::size_t size) {
  if (asked_ + size > limits_.asked) return false;
  asked_ += size;
  channel.asked = size;
  return true;
}

void Mux::complete_error(ChannelId id, Channel& channel, std::string bytes, Events& events) {
  WireError e = decode_error(bytes);
  const auto stream = channel.stream;
  erase(id);
  if (!stream) {
    events.push_back({.kind = ChannelEvent::Kind::error,
                      .channel = id,
                      .error = to_exception(std::move(e)),
                      .error_size = bytes.size()});
    return;
  }
  outbox_.drop(id);
  stream->failed = std::move(e.error);
  stream->wake();
  if (!ours(id))
    events.push_back(
        {.kind = ChannelEvent::Kind::cancel, .channel = id, .bytes = stream->failed->what(), .stream = stream});
}

void Mux::on_cancel(ChannelId id, std::string_view reason, Events& events) {
  Channel* channel = find(id);
  if (channel == nullptr) {
    if (!ours(id)) outbox_.drop(id);  // a reply on its way
    return;
  }
  if (ours(id) || channel->is_stream) violation("a cancel of no call");
  if (!channel->answering) return erase(id);
  events.push_back(
      {.kind = ChannelEvent::Kind::cancel, .channel = id, .bytes = std::string(reason.substr(0, max_reason))});
}

void Mux::on_stream_frame(const FrameHeader& h, std::string_view payload) {
  Channel* channel = find(h.channel);
  if (channel == nullptr) return;
  if (!channel->is_stream) violation("bytes of a stream on a call");
  StreamState& s = *channel->stream;
  if (h.type == Type::credit) {
    s.credit += parse_credit(payload);
    if (s.credit > UINT32_MAX) violation("a credit that is too large");
    s.writable.notify_all();
    return;
  }
  if (s.in_end || channel->in.active) violation("bytes outside a stream");
  if (h.type == Type::finish) {
    if (h.length != 0) violation("a finish with content");
    s.in_end = true;
    s.readable.notify_all();
    if (s.out_end) erase(h.channel);
    return;
  }
  if (payload.size() > s.granted) violation("more bytes than the window allows");
  if (payload.empty()) return;
  s.granted -= payload.size();
  // Tiny pieces are joined, so that bookkeeping never costs more than the bytes.
  if (!s.in.empty() && s.in.back().size() + payload.size() <= sent_payload) {
    s.in.back() += payload;
  } else {
    s.in.emplace_back(payload);
  }
  s.readable.notify_all();
}

}  // namespace dagger::link
