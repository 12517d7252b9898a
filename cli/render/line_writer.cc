#include "cli/render/line_writer.h"

#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace dagger::cli {
namespace {
constexpr int last_wait_ms = 100;
constexpr std::string_view drop_note = "(some progress output was dropped: nobody read it)\n";
}  // namespace

LineWriter::LineWriter(int fd, std::size_t limit)
    : fd_(fd), limit_(limit), stop_(::eventfd(0, EFD_CLOEXEC)), thread_([this] { serve(); }) {}

LineWriter::~LineWriter() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_one();
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void LineWriter::write(std::string_view text) noexcept try {
  {
    const std::scoped_lock lock(mutex_);
    if (pending_.size() + text.size() > limit_) {
      dropped_ = true;
      return;
    }
    if (std::exchange(dropped_, false)) pending_ += drop_note;
    pending_ += text;
  }
  ready_.notify_one();
} catch (...) {  // out of memory: output is what can be spared
}

void LineWriter::serve() {
  for (;;) {
    std::string batch;
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return !pending_.empty() || stopping_; });
      batch.swap(pending_);
      last = stopping_;
    }
    std::string_view rest = batch;
    while (!rest.empty() && write_some(rest, last ? last_wait_ms : -1)) {
      if (last) continue;
      const std::scoped_lock lock(mutex_);
      last = stopping_;
    }
    if (last) {
      const std::scoped_lock lock(mutex_);
      if (pending_.empty() || !rest.empty()) return;
    }
  }
}

// At most PIPE_BUF after poll() said yes never blocks. False: give up on this text.
bool LineWriter::write_some(std::string_view& text, int timeout_ms) {
  pollfd watched[2] = {{fd_, POLLOUT, 0}, {stop_.get(), POLLIN, 0}};
  const int count = ::poll(watched, timeout_ms < 0 ? 2 : 1, timeout_ms);
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  if (watched[0].revents == 0) return true;  // asked to stop: the caller looks
  const auto written = ::write(fd_, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
  if (written < 0) return errno == EINTR || errno == EAGAIN;
  text.remove_prefix(static_cast<std::size_t>(written));
  return true;
}

}  // namespace dagger::cli
