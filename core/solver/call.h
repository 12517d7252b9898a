// core/solver/call.h — the host's side of one blocking plugin call, for the job it works for.
//
// Made on the control thread, used on threads of a pool, also by several at once. Questions to the client hop to the
// control thread and wait there for the answer, or for cancellation.
#pragma once
#include <atomic>
#include <functional>
#include <string>

#include "core/base/cancel.h"
#include "core/base/loop.h"
#include "core/base/task.h"
#include "dagger/plugin/plugin.h"

namespace dagger::solver {

// Where a call's reports and questions go. Called on the control thread.
class CallOwner {
 public:
  virtual ~CallOwner() = default;
  virtual void log(std::string line) = 0;
  virtual void progress(std::string what, std::int64_t done, std::int64_t total) = 0;
  virtual Task<std::optional<plugin::Credentials>> credentials(std::string realm) = 0;
  virtual Task<UniqueFd> open_socket(std::string id) = 0;
  virtual Task<std::string> secret(std::string name) = 0;
  // Where the tasks of questions live; joined before the owner goes.
  virtual TaskGroup& questions() = 0;
};

class Call final : public plugin::CallContext {
 public:
  // owner: may be null (nobody listens); else outlives the call.
  Call(Loop& loop, std::shared_ptr<CallOwner> owner, CancelToken cancel)
      : loop_(loop), owner_(std::move(owner)), cancel_(std::move(cancel)) {}

  bool cancelled() const noexcept override { return cancel_.cancelled(); }
  int cancel_fd() const noexcept override { return cancel_.fd(); }
  void log(plugin::LogLevel level, std::string_view line) noexcept override;
  void progress(std::string_view what, std::int64_t done, std::int64_t total) noexcept override;
  std::optional<plugin::Credentials> credentials(std::string_view realm) override;
  UniqueFd open_socket(std::string_view id) override;
  UniqueFd open_secret(std::string_view id) override;

 private:
  template <class T>
  T ask(std::function<Task<T>(CallOwner&)> question);
  Loop& loop_;
  std::shared_ptr<CallOwner> owner_;
  CancelToken cancel_;
  std::atomic<std::int64_t> last_progress_ms_ = 0;
};

}  // namespace dagger::solver
