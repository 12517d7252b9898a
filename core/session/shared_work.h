// core/session/shared_work.h — work that several requests want, done once; its result is kept for the session.
//
// Control thread only. The work ends early only when nobody waits for it any more; a failure is not kept, so the next
// request tries again. join() before destroying: no work outlives its owner.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/function.h"
#include "core/base/task.h"

namespace dagger::session {

template <class T>
class SharedWork {
 public:
  using Start = Function<Task<T>(CancelToken)>;
  explicit SharedWork(Loop& loop) : loop_(loop), group_(loop) {}

  Task<T> get(std::string key, Start start, CancelToken cancel) {
    cancel.throw_if_cancelled();
    const auto mine = entry_of(key, std::move(start));
    if (mine->error) std::rethrow_exception(mine->error);  // it may fail before it waits for anything
    if (mine->result) co_return *mine->result;
    OneShot<Unit> ready(loop_);
    mine->waiting.push_back(ready);
    const auto subscription = cancel.on_cancel(
        [ready, cancel] { ready.fail(std::make_exception_ptr(Error(Code::cancelled, cancel.reason()))); });
    try {
      co_await ready;
    } catch (...) {
      if (cancel.cancelled()) leave(mine, key);
      throw;
    }
    co_return *mine->result;
  }

  Task<void> join() {
    for (const auto& [key, entry] : entries_) entry->cancel.request("the session ends");
    co_await group_.join();
  }

 private:
  struct Entry {
    CancelSource cancel;
    std::vector<OneShot<Unit>> waiting;
    std::size_t gone = 0;
    std::optional<T> result;
    std::exception_ptr error;
  };

  std::shared_ptr<Entry> entry_of(const std::string& key, Start start) {
    if (const auto at = entries_.find(key); at != entries_.end()) return at->second;
    const auto entry = entries_[key] = std::make_shared<Entry>();
    group_.spawn(run(entry, key, std::move(start)));
    return entry;
  }

  Task<void> run(std::shared_ptr<Entry> entry, std::string key, Start start) {
    try {
      entry->result = co_await start(entry->cancel.token());
    } catch (...) {
      entry->error = std::current_exception();
      forget(entry, key);
    }
    for (const auto& waiter : std::exchange(entry->waiting, {})) {
      if (entry->error)
        waiter.fail(entry->error);
      else
        waiter.set({});
    }
  }
  void leave(const std::shared_ptr<Entry>& entry, const std::string& key) {
    if (++entry->gone < entry->waiting.size() || entry->waiting.empty()) return;
    forget(entry, key);
    entry->cancel.request("nobody waits for it any more");
  }
  void forget(const std::shared_ptr<Entry>& entry, const std::string& key) {
    const auto at = entries_.find(key);
    if (at != entries_.end() && at->second == entry) entries_.erase(at);
  }

  Loop& loop_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  TaskGroup group_;
};

}  // namespace dagger::session
