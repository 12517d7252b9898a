#include "core/link/connection.h"

#include <algorithm>
#include <cerrno>

#include <boost/asio/post.hpp>

#include "core/base/fs.h"

namespace dagger::link {
namespace asio = boost::asio;
namespace {

constexpr std::size_t inline_budget = 128 << 10;  // what a control thread's call sends itself before it leaves the rest
constexpr int reads_in_a_row = 8;                 // then other connections get their turn

bool would_block(ssize_t n) { return n == -EAGAIN || n == -EWOULDBLOCK; }

std::string seconds(std::chrono::milliseconds t) {
  const auto tenths = (t.count() + 50) / 100;
  return std::to_string(tenths / 10) + (tenths % 10 != 0 ? "." + std::to_string(tenths % 10) : std::string()) + " s";
}

}  // namespace

Connection::Connection(IoContext& context, Wire wire, std::string early, Options options)
    : context_(context),
      options_(options),
      mux_(options.initiator, options.limits),
      wire_(std::move(wire)),
      last_sent_(Clock::now()),
      last_progress_(last_sent_),
      early_(std::move(early)),
      last_received_(last_sent_) {}

Connection::~Connection() = default;

void Connection::check_alive() const {
  if (dead_ || closing_) throw Error(Code::unavailable, reason_.empty() ? "the link is closed" : reason_);
}

// ---- the control thread's side

ChannelId Connection::call(std::string_view method, std::string_view request) {
  Lock lock(mutex_);
  check_alive();
  const ChannelId id = mux_.call(method, request);
  pump(lock, inline_budget);
  return id;
}

std::shared_ptr<StreamState> Connection::open(std::string_view method, std::string_view request) {
  Lock lock(mutex_);
  check_alive();
  auto stream = mux_.open(method, request);
  pump(lock, inline_budget);
  return stream;
}

void Connection::cancel(ChannelId call, std::string_view reason) {
  Lock lock(mutex_);
  mux_.cancel(call, reason);
  pump(lock, inline_budget);
}

void Connection::reply(ChannelId call, std::string result) {
  Lock lock(mutex_);
  mux_.reply(call, std::move(result));
  pump(lock, inline_budget);
}

void Connection::fail(ChannelId call, const Error& error, const std::string* details) {
  Lock lock(mutex_);
  mux_.fail(call, error, details);
  pump(lock, inline_budget);
}

void Connection::notify(std::string_view method, std::string_view message) {
  Lock lock(mutex_);
  if (dead_ || closing_) return;
  mux_.notify(method, message);
  pump(lock, inline_budget);
}

void Connection::close(std::string reason) {
  Lock lock(mutex_);
  if (dead_ || closing_) return;
  closing_ = true;
  reason_ = reason.empty() ? "the link is closed" : reason;
  mux_.close(reason);
  pump(lock, inline_budget);
  on_io_thread(&Connection::arm_read);  // what still arrives is thrown away, until the other end has read the goodbye
  on_io_thread(&Connection::tick);
}

void Connection::start(Function<void(std::vector<ChannelEvent>)> deliver) {
  const Lock lock(mutex_);
  if (dead_) {
    std::vector<ChannelEvent> events;
    events.push_back({.kind = ChannelEvent::Kind::closed, .bytes = reason_});
    deliver(std::move(events));
    return;
  }
  asio::post(context_.io, [self = shared_from_this(), deliver = std::move(deliver)]() mutable {
    self->deliver_ = std::move(deliver);
    self->begin();
  });
}

void Connection::handled(std::size_t cost) {
  const Lock lock(mutex_);
  backlog_ -= cost;
  if (paused_ && backlog_ < max_backlog / 2) {
    paused_ = false;
    on_io_thread(&Connection::arm_read);
  }
}

std::size_t Connection::backlog() {
  const Lock lock(mutex_);
  return mux_.queued();
}

// ---- streams

std::string Connection::read(StreamState& s) {
  Lock lock(mutex_);
  for (;;) {
    if (s.cancelled) throw Error(Code::cancelled, "the stream was cancelled");
    if (!s.in.empty() && (s.in_end || !s.failed)) break;
    if (s.in_end) return {};
    if (s.failed) throw Error(*s.failed);
    s.reader_waited = true;
    s.readable.wait(lock);
  }
  std::string bytes = mux_.read(s);
  pump(lock, batch_size);
  return bytes;
}

void Connection::write(StreamState& s, std::string_view bytes) {
  Lock lock(mutex_);
  while (!bytes.empty()) {
    if (s.cancelled) throw Error(Code::cancelled, "the stream was cancelled");
    if (s.failed) throw Error(*s.failed);
    if (s.out_end) throw Error(Code::internal, "a stream was written after its end");
    const std::size_t n = std::min(bytes.size(), mux_.room(s));
    if (n == 0) {
      s.writable.wait(lock);
      continue;
    }
    mux_.reserve(s, n);
    lock.unlock();
    std::string part(bytes.substr(0, n));
    bytes.remove_prefix(n);
    lock.lock();
    mux_.write(s, std::move(part));
    pump(lock, 2 * batch_size);
  }
}

void Connection::finish(StreamState& s) {
  Lock lock(mutex_);
  mux_.finish(s);
  pump(lock, batch_size);
}

void Connection::reset(StreamState& s, const Error& why) {
  Lock lock(mutex_);
  mux_.reset(s, why);
  pump(lock, inline_budget);
}

void Connection::cancel(StreamState& s) {
  const Lock lock(mutex_);
  s.cancelled = true;
  s.wake();
}

void Connection::drop(StreamState& s) {
  Lock lock(mutex_);
  mux_.drop(s);
  pump(lock, inline_budget);
}

// ---- sending

void Connection::pump(Lock& lock, std::size_t budget) {
  if (sending_ || blocked_ || write_error_ != 0 || dead_) return;
  const bool io_thread = context_.io.get_executor().running_in_this_thread();
  if (!io_thread && !wire_.any_thread_may_send()) {
    if (!mux_.nothing_to_send() || !batch_.empty()) on_io_thread(&Connection::continue_sending);
    return;
  }
  sending_ = true;
  std::size_t sent = 0;
  for (;;) {
    if (batch_.empty()) {
      mux_.take(batch_, batch_size);
      if (batch_.empty()) break;
    }
    if (sent >= budget) {
      on_io_thread(&Connection::continue_sending);
      break;
    }
    lock.unlock();
    const ssize_t n = wire_.send(batch_);
    lock.lock();
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
      last_sent_ = last_progress_ = Clock::now();
      if (batch_.sent == batch_.bytes) batch_.clear();
    } else if (would_block(n)) {
      blocked_ = true;
      on_io_thread(&Connection::wait_writable);
      break;
    } else {
      write_error_ = n < 0 ? static_cast<int>(-n) : EPIPE;
      on_io_thread(&Connection::write_broken);
      break;
    }
  }
  sending_ = false;
  if (dead_) {  // it died while the lock was free
    batch_.clear();
    if (released_) wire_.close();
  } else if (closing_ && !ended_ && write_error_ == 0 && batch_.empty() && mux_.nothing_to_send()) {
    ended_ = true;
    on_io_thread(&Connection::say_end);
  }
}

void Connection::on_io_thread(void (Connection::*f)()) {
  if (dead_) return;
  asio::post(context_.io, [self = shared_from_this(), f] { (*self.*f)(); });
}

void Connection::continue_sending() {
  Lock lock(mutex_);
  pump(lock, 4 * batch_size);
}

void Connection::wait_writable() {
  {
    const Lock lock(mutex_);
    if (dead_) return;
  }
  auto& descriptor = writer_ ? *writer_ : *reader_;
  descriptor.async_wait(Descriptor::wait_write, [self = shared_from_this()](const boost::system::error_code& e) {
    if (e) return;
    Lock lock(self->mutex_);
    self->blocked_ = false;
    self->pump(lock, 4 * batch_size);
  });
}

void Connection::say_end() {
  if (writer_) {
    writer_->release();
    writer_.reset();
  }
  const Lock lock(mutex_);
  if (!dead_) wire_.end();
}

void Connection::write_broken() {
  // What the other end said before it went is worth more than "broken pipe".
  receive();
  int number = 0;
  {
    const Lock lock(mutex_);
    number = write_error_;
  }
  lost(errno_error(number, "the connection broke").message());
}

// ---- the I/O thread

void Connection::attach(Function<void()> on_gone) {
  on_gone_ = std::move(on_gone);
  reader_.emplace(context_.io, wire_.in());
  if (wire_.out() != wire_.in()) writer_.emplace(context_.io, wire_.out());
  timer_.emplace(context_.io);
  arm_tick();
}

void Connection::begin() {
  last_received_ = Clock::now();
  {
    const Lock lock(mutex_);
    started_ = true;
    if (dead_ && !closing_) deliver_closed(reason_);
  }
  receive();
}

void Connection::deliver_closed(std::string reason) {
  if (!deliver_) return;
  std::vector<ChannelEvent> events;
  events.push_back({.kind = ChannelEvent::Kind::closed, .bytes = std::move(reason)});
  std::exchange(deliver_, {})(std::move(events));
}

void Connection::arm_read() {
  {
    const Lock lock(mutex_);
    if (dead_ || reading_ || (paused_ && !closing_) || (!started_ && !closing_)) return;
  }
  reading_ = true;
  reader_->async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& e) {
    self->reading_ = false;
    if (!e) self->receive();
  });
}

void Connection::receive() {
  for (int i = 0; i < reads_in_a_row; ++i)
    if (!receive_once()) break;
  arm_read();
}

bool Connection::receive_once() {
  {
    const Lock lock(mutex_);
    if (dead_ || (!closing_ && (!started_ || paused_))) return false;
  }
  std::string early = std::exchange(early_, {});
  std::string_view bytes = early;
  if (early.empty()) {
    const ssize_t n = wire_.receive(context_.buffer.data(), context_.buffer.size());
    if (would_block(n)) return false;
    if (n <= 0) {
      lost(n == 0 ? "the other end closed the connection without a goodbye"
                  : errno_error(static_cast<int>(-n), "the connection broke").message());
      return false;
    }
    bytes = std::string_view(context_.buffer).substr(0, static_cast<std::size_t>(n));
  }
  last_received_ = Clock::now();

  std::vector<ChannelEvent> events;
  std::string broken;
  {
    Lock lock(mutex_);
    if (closing_) return true;
    try {
      mux_.receive(bytes, events);
    } catch (const Error& e) {
      broken = e.what();
    }
    std::size_t cost = 0;
    for (const ChannelEvent& e : events) cost += e.cost();
    backlog_ += cost;
    paused_ = backlog_ > max_backlog;
    pump(lock, batch_size);
  }
  const auto goodbye = std::find_if(events.begin(), events.end(),
                                    [](const ChannelEvent& e) { return e.kind == ChannelEvent::Kind::closed; });
  if (goodbye != events.end()) {
    std::string reason = std::move(goodbye->bytes);
    events.erase(goodbye, events.end());
    if (!events.empty()) deliver_(std::move(events));
    lost(std::move(reason));
    return false;
  }
  if (!events.empty()) deliver_(std::move(events));
  if (broken.empty()) return true;
  // The other end learns why, if it still listens.
  {
    const Lock lock(mutex_);
    if (!sending_ && !blocked_) {
      mux_.kill(Error(Code::unavailable, broken));
      mux_.close(broken);
      Batch last;
      mux_.take(last, batch_size);
      if (batch_.empty()) wire_.send(last);
    }
  }
  lost(std::move(broken));
  return false;
}

void Connection::arm_tick() {
  timer_->expires_after(options_.ping_every);
  timer_->async_wait([self = shared_from_this()](const boost::system::error_code& e) {
    if (!e) self->tick();
  });
}

void Connection::tick() {
  bool silent = false, stuck = false, over = false;
  const auto now = Clock::now();
  {
    Lock lock(mutex_);
    if (dead_) return;
    if (closing_) {
      if (close_by_ == Clock::time_point()) close_by_ = now + linger;
      over = now >= close_by_;
    } else {
      if (now - last_sent_ >= options_.ping_every && !blocked_) {
        mux_.ping();
        pump(lock, batch_size);
      }
      silent = started_ && !paused_ && now - last_received_ > options_.dead_after;
      stuck = blocked_ && now - last_progress_ > options_.dead_after;
    }
  }
  if (over) return lost({});
  if (silent) {
    receive();  // this process itself may have been stopped, with the answers waiting in the socket
    if (Clock::now() - last_received_ > options_.dead_after)
      return lost("no sign of life from the other end for " + seconds(options_.dead_after));
  }
  if (stuck) return lost("the other end has read nothing for " + seconds(options_.dead_after));
  arm_tick();
}

void Connection::lost(std::string reason) {
  {
    const Lock lock(mutex_);
    if (dead_) return;
    dead_ = true;
    if (!closing_) reason_ = reason;
    const bool orderly = reason.empty() || closing_;
    mux_.kill(Error(Code::unavailable, orderly ? "the link is closed" : reason));
    if (closing_) deliver_ = {};
  }
  timer_.reset();
  if (reader_) reader_->release();
  if (writer_) writer_->release();
  reader_.reset();
  writer_.reset();
  {
    const Lock lock(mutex_);
    released_ = true;
    if (!sending_) {
      batch_.clear();
      wire_.close();
    } else {
      wire_.end();
    }
  }
  deliver_closed(std::move(reason));
  if (on_gone_) std::exchange(on_gone_, {})();
}

}  // namespace dagger::link
