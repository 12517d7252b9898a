// core/base/ask_child.h — runs a function in a forked child, so that a crash, a hang or an exit() in there is an
// answer.
//
// For what a command asks of code or of a resolver that it does not trust. Call it while the process has one thread:
// the child goes on with that one. Its stdin, stdout and stderr are /dev/null; what it started ends with it. [blocking]
#pragma once
#include <chrono>
#include <string>

#include "core/base/function.h"

namespace dagger {

struct ChildAnswer {
  enum class End { answered, exited, crashed, late };
  End end = End::exited;
  int signal = 0;    // crashed
  std::string text;  // answered: what the function returned, at most 1 MiB
};

// Throws internal where no child can be made.
ChildAnswer ask_child(std::chrono::milliseconds patience, Function<std::string()> function);

}  // namespace dagger
