// core/base/cancel.h — asking work to stop, with a reason.
//
// A CancelSource is owned by whoever may cancel; CancelTokens are cheap copies for the work. Requesting is one-way and
// only asks: the work ends when it notices. [thread-safe]
#pragma once
#include <memory>
#include <string>

#include "core/base/function.h"
#include "dagger/plugin/error.h"

namespace dagger {

class CancelToken {
 public:
  CancelToken();  // never cancelled
  bool cancelled() const noexcept;
  // Readable once cancelled; for poll(2). Made on first use. Belongs to the token's shared state.
  int fd() const;
  // Why; empty while not cancelled.
  std::string reason() const;
  void throw_if_cancelled() const;  // Error{cancelled, reason}

  // Runs f once on cancellation, on the thread that requests it (at once, if already cancelled). Destroying the
  // Subscription prevents it; when the destructor returns, f is not running on another thread.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& o) noexcept = default;
    Subscription& operator=(Subscription&& o) noexcept;
    ~Subscription();

   private:
    struct Entry;
    friend class CancelToken;
    friend class CancelSource;
    std::shared_ptr<Entry> entry_;
  };
  [[nodiscard]] Subscription on_cancel(Function<void()> f) const;

 private:
  friend class CancelSource;
  struct State;
  explicit CancelToken(std::shared_ptr<State> s) : state_(std::move(s)) {}
  std::shared_ptr<State> state_;
};

class CancelSource {
 public:
  CancelSource();
  CancelToken token() const { return CancelToken(state_); }
  void request(std::string reason);  // idempotent: the first reason wins
  bool requested() const noexcept { return token().cancelled(); }

 private:
  std::shared_ptr<CancelToken::State> state_;
};

}  // namespace dagger
