// core/plugin/isolation/host/alternate_stack.h — lets the crash report of this thread be written when its stack is
// full.
#pragma once
#include <signal.h>

#include <array>
#include <memory>

namespace dagger::plugin::isolation {

class AlternateStack {
 public:
  AlternateStack() {
    stack_t stack{};
    stack.ss_sp = memory_->data(), stack.ss_size = memory_->size();
    ::sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

 private:
  std::unique_ptr<std::array<char, 16 * 1024>> memory_ = std::make_unique<std::array<char, 16 * 1024>>();
};

}  // namespace dagger::plugin::isolation
