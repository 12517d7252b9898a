#include "core/base/loop.h"

#include <fcntl.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "dagger/plugin/error.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger {
namespace asio = boost::asio;
namespace {

// CPU time, not wall time: on a busy machine the thread may rest without any fault of the handler.
class HandlerWatch {
 public:
#ifdef DAGGER_WATCHDOG
  HandlerWatch() : start_(cpu_ns()) {}
  ~HandlerWatch() {
    const long long took = cpu_ns() - start_;
    if (took <= 10'000'000) return;
    std::fprintf(stderr, "a handler held the control thread for %lld ms of CPU time\n", took / 1'000'000);
    std::abort();
  }

 private:
  static long long cpu_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
  }
  long long start_;
#endif
};

}  // namespace

struct Loop::State {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::atomic<std::thread::id> thread;
};

struct Loop::Handle::Impl {
  explicit Impl(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  std::optional<asio::posix::stream_descriptor> fd;
  Callback f;

  void fire() {
    if (!f) return;
    auto run = std::move(f);
    f = {};
    [[maybe_unused]] const HandlerWatch watch;
    run();
  }
};

Loop::Loop() : state_(std::make_unique<State>()) {}
Loop::~Loop() = default;

void Loop::run() {
  state_->thread = std::this_thread::get_id();
  state_->io.run();
  state_->io.restart();  // so that it can be run again
}
void Loop::stop() { state_->io.stop(); }
bool Loop::on_thread() const noexcept { return state_->thread.load() == std::this_thread::get_id(); }
asio::io_context& Loop::io() noexcept { return state_->io; }

void Loop::post(Callback f) {
  asio::post(state_->io, [f = std::move(f)]() mutable {
    [[maybe_unused]] const HandlerWatch watch;
    f();
  });
}

Loop::Handle Loop::after(Clock::duration delay, Callback f) {
  auto impl = std::make_shared<Handle::Impl>(state_->io);
  impl->f = std::move(f);
  impl->timer.expires_after(delay);
  impl->timer.async_wait([weak = std::weak_ptr(impl)](const boost::system::error_code& e) {
    if (const auto i = weak.lock(); i && !e) i->fire();
  });
  return Handle(std::move(impl));
}

Loop::Handle Loop::when_readable(int fd, Callback f) {
  // A duplicate, because Asio closes what it is given and one fd may be watched twice.
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw Error(Code::internal, "cannot watch fd " + std::to_string(fd) + ": not open");
  auto impl = std::make_shared<Handle::Impl>(state_->io);
  impl->f = std::move(f);
  impl->fd.emplace(state_->io, copy.release());
  impl->fd->async_wait(asio::posix::stream_descriptor::wait_read,
                       [weak = std::weak_ptr(impl)](const boost::system::error_code& e) {
                         if (const auto i = weak.lock(); i && !e) i->fire();
                       });
  return Handle(std::move(impl));
}

void Loop::Handle::cancel() {
  if (!impl_) return;
  impl_->f = {};
  impl_.reset();  // the timer's or descriptor's destructor cancels the wait
}
bool Loop::Handle::active() const noexcept { return impl_ && impl_->f; }
Loop::Handle& Loop::Handle::operator=(Handle&& o) noexcept {
  if (this != &o) {
    cancel();
    impl_ = std::move(o.impl_);
  }
  return *this;
}
Loop::Handle::~Handle() { cancel(); }

}  // namespace dagger
