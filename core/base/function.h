// core/base/function.h — a move-only callable, so that queued work may own fds, buffers and other move-only values.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

namespace dagger {

template <class Signature>
class Function;

template <class R, class... Args>
class Function<R(Args...)> {
 public:
  Function() = default;
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Function>>>
  Function(F&& f)
      : held_(std::make_unique<Held<std::decay_t<F>>>(std::forward<F>(f))) {}  // NOLINT: implicit like std::function
  explicit operator bool() const noexcept { return held_ != nullptr; }
  R operator()(Args... args) { return held_->call(std::forward<Args>(args)...); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual R call(Args... args) = 0;
  };
  template <class F>
  struct Held final : Base {
    explicit Held(F&& f) : f_(std::move(f)) {}
    explicit Held(const F& f) : f_(f) {}
    R call(Args... args) override { return f_(std::forward<Args>(args)...); }
    F f_;
  };
  std::unique_ptr<Base> held_;
};

}  // namespace dagger
