#include "core/link/greeting.h"

#include <array>
#include <cerrno>

#include "core/base/fs.h"

namespace dagger::link {

Greeting::Greeting(boost::asio::io_context& io, Wire wire, Handshake handshake, Function<Milliseconds()> wrong_proof,
                   Function<void(Result)> done)
    : wire_(std::move(wire)),
      handshake_(std::move(handshake)),
      wrong_proof_(std::move(wrong_proof)),
      done_(std::move(done)),
      timeout_(io),
      delay_(io) {
  reader_.emplace(io, wire_.in());
  if (wire_.out() != wire_.in()) writer_.emplace(io, wire_.out());
}

void Greeting::start(Milliseconds timeout) {
  timeout_.expires_after(timeout);
  timeout_.async_wait([self = shared_from_this(), timeout](const boost::system::error_code& e) {
    if (!e)
      self->finish(
          Error(Code::unavailable, "the other end did not answer within " + std::to_string(timeout.count()) + " ms"));
  });
  flush();
}

void Greeting::abort(const Error& why) { finish(why); }

void Greeting::wait_readable() {
  if (!reader_) return;
  reader_->async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& e) {
    if (!e) self->on_readable();
  });
}

void Greeting::on_readable() {
  std::array<char, 16 << 10> buffer;
  const ssize_t n = wire_.receive(buffer.data(), buffer.size());
  if (n == -EAGAIN) return wait_readable();
  if (n <= 0) return finish(Error(Code::unavailable, "the other end closed the connection during the handshake"));
  handshake_.feed({buffer.data(), static_cast<std::size_t>(n)});
  if (!handshake_.wrong_proof() || !wrong_proof_) return flush();
  delay_.expires_after(wrong_proof_());
  delay_.async_wait([self = shared_from_this()](const boost::system::error_code& e) {
    if (!e) self->flush();
  });
}

void Greeting::flush() {
  if (!reader_) return;
  output_ += handshake_.output();
  while (!output_.empty()) {
    const ssize_t n = wire_.send(output_);
    if (n == -EAGAIN) {
      (writer_ ? *writer_ : *reader_)
          .async_wait(Descriptor::wait_write, [self = shared_from_this()](const boost::system::error_code& e) {
            if (!e) self->flush();
          });
      return;
    }
    if (n < 0) break;  // what the other end said before it went is read next
    output_.erase(0, static_cast<std::size_t>(n));
  }
  if (handshake_.failure()) return finish(*handshake_.failure());
  if (handshake_.done()) return finish(std::nullopt);
  if (reader_) wait_readable();
}

void Greeting::finish(std::optional<Error> error) {
  if (!done_) return;
  timeout_.cancel();
  delay_.cancel();
  reader_->release();
  if (writer_) writer_->release();
  reader_.reset();
  writer_.reset();
  Result result;
  if (error) {
    result.error = std::move(error);
    wire_.end();
    wire_.close();
  } else {
    result.wire = std::move(wire_);
    result.early = handshake_.rest();
    result.other = handshake_.other();
  }
  std::exchange(done_, {})(std::move(result));
}

}  // namespace dagger::link
