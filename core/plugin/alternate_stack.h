// core/plugin/alternate_stack.h — where the crash report of this thread runs, also when its own stack is full.
#pragma once
#include <signal.h>

#include <array>
#include <memory>

namespace dagger::plugin {

// For the thread that makes it, until it is destroyed there. A thread that has one (sanitizers make one) keeps it.
class AlternateStack {
 public:
  AlternateStack() {
    stack_t stack{};
    if (::sigaltstack(nullptr, &stack) != 0 || (stack.ss_flags & SS_DISABLE) == 0) return;
    memory_ = std::make_unique<Memory>();
    stack.ss_flags = 0, stack.ss_sp = memory_->data(), stack.ss_size = memory_->size();
    ::sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    if (!memory_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  using Memory = std::array<char, 64UL * 1024>;
  std::unique_ptr<Memory> memory_;
};

}  // namespace dagger::plugin
