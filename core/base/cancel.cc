#include "core/base/cancel.h"

#include <sys/eventfd.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "dagger/plugin/unique_fd.h"

namespace dagger {

struct CancelToken::Subscription::Entry {
  std::mutex running;  // held while f runs, so that dropping the subscription waits for it
  Function<void()> f;

  void run() {
    const std::lock_guard lock(running);
    if (!f) return;
    f();
    f = {};
  }
};

struct CancelToken::State {
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  std::string reason;
  UniqueFd fd;
  std::vector<std::weak_ptr<Subscription::Entry>> entries;
};

CancelToken::CancelToken() = default;

bool CancelToken::cancelled() const noexcept { return state_ && state_->cancelled.load(std::memory_order_acquire); }

int CancelToken::fd() const {
  static const UniqueFd never(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));  // one for all tokens without a source
  if (!state_) return never.get();
  const std::lock_guard lock(state_->mutex);
  if (!state_->fd) state_->fd.reset(::eventfd(state_->cancelled ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK));
  return state_->fd.get();
}

std::string CancelToken::reason() const {
  if (!state_) return {};
  const std::lock_guard lock(state_->mutex);
  return state_->reason;
}

void CancelToken::throw_if_cancelled() const {
  if (cancelled()) throw Error(Code::cancelled, reason());
}

CancelToken::Subscription CancelToken::on_cancel(Function<void()> f) const {
  Subscription s;
  if (!state_) return s;
  s.entry_ = std::make_shared<Subscription::Entry>();
  s.entry_->f = std::move(f);
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->cancelled) {
      std::erase_if(state_->entries, [](const auto& e) { return e.expired(); });
      state_->entries.push_back(s.entry_);
      return s;
    }
  }
  s.entry_->run();
  return s;
}

CancelToken::Subscription& CancelToken::Subscription::operator=(Subscription&& o) noexcept {
  if (this != &o) {
    Subscription old;
    std::swap(old.entry_, entry_);
    std::swap(entry_, o.entry_);
  }
  return *this;
}

CancelToken::Subscription::~Subscription() {
  if (!entry_) return;
  // The callback must not drop its own subscription: it would wait for itself.
  const std::lock_guard lock(entry_->running);
  entry_->f = {};
}

CancelSource::CancelSource() : state_(std::make_shared<CancelToken::State>()) {}

void CancelSource::request(std::string reason) {
  std::vector<std::weak_ptr<CancelToken::Subscription::Entry>> entries;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->cancelled) return;
    state_->reason = std::move(reason);
    state_->cancelled.store(true, std::memory_order_release);
    if (state_->fd) ::eventfd_write(state_->fd.get(), 1);
    entries.swap(state_->entries);
  }
  for (const auto& weak : entries)
    if (const auto entry = weak.lock()) entry->run();
}

}  // namespace dagger
