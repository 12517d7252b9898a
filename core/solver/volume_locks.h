// core/solver/volume_locks.h — LOCKED cache volumes: one exec at a time each, taken in sorted order before the exec
// gets its slot, so that no two execs can wait for each other. Control thread only.
#pragma once
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/task.h"

namespace dagger::solver {

class VolumeLocks {
 public:
  explicit VolumeLocks(Loop& loop) : loop_(loop) {}

  class Held {
   public:
    Held() = default;
    Held(Held&& o) noexcept : locks_(std::exchange(o.locks_, nullptr)), names_(std::move(o.names_)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ == nullptr) return;
      for (const auto& n : names_) locks_->unlock(n);
    }

   private:
    friend class VolumeLocks;
    explicit Held(VolumeLocks& locks) : locks_(&locks) {}
    VolumeLocks* locks_ = nullptr;
    std::vector<std::string> names_;
  };

  // Throws Error{cancelled}; what was taken by then is given back.
  Task<Held> acquire(std::set<std::string> names, CancelToken cancel) {
    Held held(*this);
    for (const auto& name : names) {
      auto& queue = locks_[name];
      const OneShot<Unit> turn(loop_);
      queue.push_back(turn);
      if (queue.size() > 1) {
        const auto error =
            std::make_exception_ptr(Error(Code::cancelled, "cancelled while waiting for a locked cache volume"));
        const auto on_cancel = cancel.on_cancel([turn, error] { turn.fail(error); });
        try {
          co_await turn;
        } catch (...) {
          drop(name, turn);
          throw;
        }
      }
      held.names_.push_back(name);
    }
    co_return held;
  }

 private:
  using Queue = std::list<OneShot<Unit>>;  // the first holds the lock
  void unlock(const std::string& name) {
    auto& queue = locks_[name];
    queue.pop_front();
    while (!queue.empty() && queue.front().done()) queue.pop_front();  // cancelled while waiting
    if (queue.empty())
      locks_.erase(name);
    else
      queue.front().set({});
  }
  void drop(const std::string& name, const OneShot<Unit>& turn) {
    const auto found = locks_.find(name);
    if (found != locks_.end()) found->second.remove_if([&](const auto& q) { return q.same(turn); });
  }
  Loop& loop_;
  std::map<std::string, Queue> locks_;
};

}  // namespace dagger::solver
