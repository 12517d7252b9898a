// core/solver/turns.h — gives the control thread away in time: work that grows with a pipeline is done in bites.
#pragma once
#include "core/base/loop.h"
#include "core/base/task.h"

namespace dagger::solver {

// Resumes in a callback of its own.
inline Task<void> next_turn(Loop& loop) {
  const OneShot<Unit> turn(loop);
  loop.post([turn] { turn.set({}); });
  co_await turn;
}

// One for each coroutine that has much to do: `if (turns.over()) co_await turns.next();` after each small step.
class Turns {
 public:
  explicit Turns(Loop& loop) : loop_(loop) {}
  bool over() noexcept { return --left_ <= 0; }
  Task<void> next() {
    left_ = steps;
    return next_turn(loop_);
  }

 private:
  static constexpr int steps = 200;
  Loop& loop_;
  int left_ = steps;
};

}  // namespace dagger::solver
