// core/solver/slots.h — how many execs (or calls over a network) run at once, shared fairly between clients. Control
// thread only.
//
// The limit counts execs, not waits: an exec whose nested clients wait for results lends its slot to them, so no depth
// of nesting can deadlock a limit of one. Among clients the one with the fewest running execs is next; within a client
// it is first come, first served.
#pragma once
#include <climits>
#include <list>
#include <map>
#include <string>

#include "core/base/cancel.h"
#include "core/base/task.h"

namespace dagger::solver {

class Slots {
 public:
  // per_owner: how many of them one client may have.
  explicit Slots(Loop& loop, unsigned limit, unsigned per_owner = UINT_MAX)
      : loop_(loop), limit_(limit), per_owner_(per_owner) {}

  // Held while an exec runs; gives the slot back when destroyed.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& o) noexcept : slots_(std::exchange(o.slots_, nullptr)), owner_(std::move(o.owner_)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->release(owner_);
    }

   private:
    friend class Slots;
    Slot(Slots& slots, std::string owner) : slots_(&slots), owner_(std::move(owner)) {}
    Slots* slots_ = nullptr;
    std::string owner_;
  };

  // owner: a name of the client. Throws Error{cancelled}.
  Task<Slot> acquire(std::string owner, CancelToken cancel);

  // An exec waits for work of its own nested clients: its slot is free for others meanwhile.
  void lend(const std::string& exec_id);
  void take_back(const std::string& exec_id);

  unsigned running() const noexcept { return running_; }
  std::size_t waiting() const noexcept { return queue_.size(); }

 private:
  struct Waiting {
    std::string owner;
    OneShot<Unit> ready;
  };
  void release(const std::string& owner);
  void serve();

  Loop& loop_;
  const unsigned limit_, per_owner_;
  unsigned running_ = 0;
  std::map<std::string, unsigned> by_owner_;  // running execs
  std::map<std::string, unsigned> lent_;      // exec id -> its nested waits
  std::list<Waiting> queue_;
};

}  // namespace dagger::solver
