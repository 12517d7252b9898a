#include "core/solver/slots.h"

#include <algorithm>

namespace dagger::solver {

Task<Slots::Slot> Slots::acquire(std::string owner, CancelToken cancel) {
  cancel.throw_if_cancelled();
  const auto it = queue_.insert(queue_.end(), Waiting{owner, OneShot<Unit>(loop_)});
  const auto ready = it->ready;
  const auto error = std::make_exception_ptr(Error(Code::cancelled, "cancelled while waiting for a free slot"));
  const auto on_cancel = cancel.on_cancel([ready, error] { ready.fail(error); });
  serve();
  try {
    co_await ready;
  } catch (...) {
    queue_.remove_if([&](const Waiting& w) { return &w == &*it; });
    throw;
  }
  co_return Slot(*this, std::move(owner));
}

void Slots::serve() {
  while (!queue_.empty() && running_ < limit_ + lent_.size()) {
    // Entries that were cancelled are removed by their own coroutine.
    auto best = queue_.end();
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
      if (it->ready.done()) continue;
      const auto load = [&](const Waiting& w) {
        const auto found = by_owner_.find(w.owner);
        return found == by_owner_.end() ? 0U : found->second;
      };
      if (load(*it) >= per_owner_) continue;
      if (best == queue_.end() || load(*it) < load(*best)) best = it;
    }
    if (best == queue_.end()) return;
    ++running_;
    ++by_owner_[best->owner];
    const auto ready = best->ready;
    queue_.erase(best);
    ready.set({});
  }
}

void Slots::release(const std::string& owner) {
  --running_;
  if (const auto it = by_owner_.find(owner); it != by_owner_.end() && --it->second == 0) by_owner_.erase(it);
  serve();
}

void Slots::lend(const std::string& exec_id) {
  if (++lent_[exec_id] == 1) serve();
}

void Slots::take_back(const std::string& exec_id) {
  if (const auto it = lent_.find(exec_id); it != lent_.end() && --it->second == 0) lent_.erase(it);
}

}  // namespace dagger::solver
