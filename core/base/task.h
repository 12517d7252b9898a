// core/base/task.h — coroutines of the control thread.
//
// Task<T> is lazy: it starts when awaited, runs on the Loop's thread only, and is destroyed by whoever awaits it. Work
// that nobody awaits lives in a TaskGroup, which ends before its owner does. Blocking work goes through on_pool().
// Coroutine parameters are values; coroutines are named functions or members of objects that outlive their group, never
// lambdas with captures. There is no hidden cancellation: pass a CancelToken.
#pragma once
#include <cassert>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/base/loop.h"
#include "core/base/pool.h"

namespace dagger {

template <class T = void>
class [[nodiscard]] Task;

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
    return h.promise().continuation ? h.promise().continuation : std::noop_coroutine();
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation;
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct Promise final : PromiseBase {
  std::variant<std::monostate, T, std::exception_ptr> result;
  Task<T> get_return_object() noexcept;
  void unhandled_exception() noexcept { result.template emplace<2>(std::current_exception()); }
  template <class U = T>
  void return_value(U&& value) {
    result.template emplace<1>(std::forward<U>(value));
  }
  T take() {
    if (result.index() == 2) std::rethrow_exception(std::get<2>(std::move(result)));
    return std::get<1>(std::move(result));
  }
};

template <>
struct Promise<void> final : PromiseBase {
  std::exception_ptr error;
  Task<void> get_return_object() noexcept;
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void return_void() noexcept {}
  void take() {
    if (error) std::rethrow_exception(std::move(error));
  }
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  explicit Task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
  Task(Task&& o) noexcept : handle_(std::exchange(o.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
    handle_.promise().continuation = waiter;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// A coroutine that owns itself; only TaskGroup makes one.
struct Fire {
  struct promise_type {
    Fire get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void unhandled_exception() noexcept { std::terminate(); }
    void return_void() noexcept {}
  };
};
}  // namespace detail

// A value that one waiter awaits and somebody sets later, both on the loop's thread. The waiter resumes in a callback
// of its own, never inside set(). Shared, because either side may go first.
template <class T>
class OneShot {
 public:
  explicit OneShot(Loop& loop) : state_(std::make_shared<State>(loop)) {}
  void set(T value) const { state_->finish(std::in_place_index<1>, std::move(value)); }
  void fail(std::exception_ptr error) const { state_->finish(std::in_place_index<2>, std::move(error)); }
  bool done() const noexcept { return state_->result.index() != 0; }
  bool same(const OneShot& o) const noexcept { return state_ == o.state_; }

  bool await_ready() const noexcept { return done(); }
  void await_suspend(std::coroutine_handle<> waiter) const noexcept {
    assert(!state_->waiter);
    state_->waiter = waiter;
  }
  T await_resume() const {
    if (state_->result.index() == 2) std::rethrow_exception(std::get<2>(state_->result));
    return std::move(std::get<1>(state_->result));
  }

 private:
  struct State {
    explicit State(Loop& l) : loop(l) {}
    template <std::size_t I, class V>
    void finish(std::in_place_index_t<I> which, V&& value) {
      if (result.index() != 0) return;  // the first outcome counts
      result.template emplace<I>(std::forward<V>(value));
      (void)which;
      if (auto w = std::exchange(waiter, {})) loop.post([w] { w.resume(); });
    }
    Loop& loop;
    std::coroutine_handle<> waiter;
    std::variant<std::monostate, T, std::exception_ptr> result;
  };
  std::shared_ptr<State> state_;
};

struct Unit {};

// Children that never outlive join(). The first error is kept and rethrown by join(). Loop thread only.
class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop) : loop_(loop) {}
  ~TaskGroup() { assert(running_ == 0 && "join() every TaskGroup"); }
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(Task<void> child) {
    ++running_;
    start(std::move(child));
  }
  std::size_t running() const noexcept { return running_; }
  // Waits until no child is left, those spawned meanwhile included.
  Task<void> join() {
    while (running_ != 0) {
      idle_.emplace(loop_);
      co_await *idle_;
    }
    idle_.reset();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  detail::Fire start(Task<void> child) {
    try {
      co_await child;
    } catch (...) {
      if (!error_) error_ = std::current_exception();
    }
    if (--running_ == 0 && idle_) idle_->set({});
  }
  Loop& loop_;
  std::size_t running_ = 0;
  std::optional<OneShot<Unit>> idle_;
  std::exception_ptr error_;
};

// Runs f on the pool and resumes on the loop when f has returned, never before: f may use what the caller owns.
template <class F>
class [[nodiscard]] OnPool {
 public:
  using R = std::invoke_result_t<F&>;
  OnPool(Loop& loop, Pool& pool, F f) : loop_(loop), pool_(pool), f_(std::move(f)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    pool_.submit([this, waiter] {
      try {
        if constexpr (std::is_void_v<R>) {
          f_();
          result_.template emplace<1>();
        } else {
          result_.template emplace<1>(f_());
        }
      } catch (...) {
        result_.template emplace<2>(std::current_exception());
      }
      loop_.post([waiter] { waiter.resume(); });
    });
  }
  R await_resume() {
    if (result_.index() == 2) std::rethrow_exception(std::get<2>(std::move(result_)));
    if constexpr (!std::is_void_v<R>) return std::get<1>(std::move(result_));
  }

 private:
  using Stored = std::conditional_t<std::is_void_v<R>, Unit, R>;
  Loop& loop_;
  Pool& pool_;
  F f_;
  std::variant<std::monostate, Stored, std::exception_ptr> result_;
};

template <class F>
OnPool<F> on_pool(Loop& loop, Pool& pool, F f) {
  return OnPool<F>(loop, pool, std::move(f));
}

}  // namespace dagger
