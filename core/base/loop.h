// core/base/loop.h — the control thread: timers, fd readiness and posted work on one thread.
//
// All mutable engine state is touched only in callbacks of one Loop, so it needs no locks. Boost.Asio is the engine
// underneath and stays out of this header; io() hands it to the few files that do network I/O on this thread.
// With DAGGER_WATCHDOG a callback that holds the thread for more than 10 ms of CPU time ends the program and names
// itself.
#pragma once
#include <chrono>
#include <memory>

#include "core/base/function.h"

namespace boost::asio {
class io_context;
}

namespace dagger {

class Loop {
 public:
  using Callback = Function<void()>;
  using Clock = std::chrono::steady_clock;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();   // serves until stop(); the calling thread is the loop's thread
  void stop();  // [thread-safe]
  bool on_thread() const noexcept;

  // Runs f on the loop's thread, after the current callback. What one thread posts runs in its order; what a callback
  // posts is queued when that callback ends, so another thread's post may come before it. [thread-safe]
  void post(Callback f);

  // One-shot. Destroying the handle cancels it; f never runs afterwards. Loop thread only.
  class Handle {
   public:
    Handle() = default;
    struct Impl;
    explicit Handle(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    Handle(Handle&&) noexcept = default;
    Handle& operator=(Handle&& o) noexcept;
    ~Handle();
    void cancel();
    bool active() const noexcept;

   private:
    std::shared_ptr<Impl> impl_;
  };
  [[nodiscard]] Handle after(Clock::duration delay, Callback f);
  // f runs once when fd is readable (or at its end). fd must stay open until then or until the handle is destroyed.
  [[nodiscard]] Handle when_readable(int fd, Callback f);

  // Keeps run() going while there is outside work; run() otherwise returns when nothing is left, unless stopped.
  boost::asio::io_context& io() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dagger
