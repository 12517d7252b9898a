// tests/unit/solver/loop_thread.h — a control thread for tests: its own loop on a thread with a small stack.
//
// The test's thread hands it work and waits for the outcome. Destroyed after what it ran has ended.
#pragma once
#include <pthread.h>

#include <chrono>
#include <future>
#include <optional>
#include <string>

#include "core/base/loop.h"
#include "core/base/task.h"
#include "dagger/plugin/error.h"

namespace dagger::testing {

// How a task ended. Errors cross as values, since exception objects are shared between threads without TSan knowing.
template <class T>
struct Outcome {
  std::optional<T> value;
  Code code = Code::internal;
  std::string error;
};

template <class T>
class Pending {
 public:
  explicit Pending(std::future<Outcome<T>> future) : future_(std::move(future)) {}
  // Fails instead of hanging; long enough for a sanitizer on a busy machine.
  Outcome<T> get() {
    if (future_.wait_for(std::chrono::seconds(100)) != std::future_status::ready)
      return {std::nullopt, Code::internal, "no end in sight"};
    return future_.get();
  }
  bool ready() const { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  std::future<Outcome<T>> future_;
};

class LoopThread {
 public:
  LoopThread() {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);  // what recurses over a long chain does not fit
    const auto serve = [](void* self) -> void* {
      static_cast<LoopThread*>(self)->loop_.run();
      return nullptr;
    };
    if (pthread_create(&thread_, &attributes, serve, this) != 0) std::abort();
    pthread_attr_destroy(&attributes);
  }
  ~LoopThread() {
    loop_.stop();
    pthread_join(thread_, nullptr);
  }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  Loop& loop() noexcept { return loop_; }

  // Runs f on the loop's thread and waits for it. f must not throw.
  template <class F>
  auto run(F f) {
    using R = std::invoke_result_t<F&>;
    std::promise<R> promise;
    loop_.post([&] {
      if constexpr (std::is_void_v<R>) {
        f();
        promise.set_value();
      } else {
        promise.set_value(f());
      }
    });
    return promise.get_future().get();
  }
  // What was posted until now has run. Two hops, because what a callback posts is queued only when that callback ends,
  // and so behind what this thread posts meanwhile.
  void settle() {
    std::promise<void> settled;
    loop_.post([&] { loop_.post([&] { settled.set_value(); }); });
    settled.get_future().get();
  }

  // Starts make()'s task; it has come to its first wait when this returns.
  template <class F>
  auto start(F make) {
    using T = typename TaskValue<std::invoke_result_t<F&>>::type;
    std::promise<Outcome<T>> promise;
    auto future = promise.get_future();
    run([&] { deliver<T>(make(), std::move(promise)); });
    return Pending<T>(std::move(future));
  }

 private:
  template <class T>
  struct TaskValue;
  template <class T>
  struct TaskValue<Task<T>> {
    using type = std::conditional_t<std::is_void_v<T>, Unit, T>;
  };

  template <class T, class Returned>
  static detail::Fire deliver(Task<Returned> task, std::promise<Outcome<T>> promise) {
    Outcome<T> outcome;
    try {
      if constexpr (std::is_void_v<Returned>) {
        co_await task;
        outcome.value.emplace();
      } else {
        outcome.value.emplace(co_await task);
      }
    } catch (const Error& e) {
      outcome.code = e.code();
      outcome.error = std::string(e.what());
    } catch (const std::exception& e) {
      outcome.error = std::string(e.what());
    }
    promise.set_value(std::move(outcome));
  }

  Loop loop_;
  pthread_t thread_{};
};

}  // namespace dagger::testing
