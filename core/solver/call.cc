#include "core/solver/call.h"

#include <condition_variable>
#include <mutex>

#include "core/base/fs.h"

namespace dagger::solver {
namespace {

// The answer travels from the control thread to a pool thread.
template <class T>
struct Answer {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<T> value;
  std::exception_ptr error;
  bool cancelled = false;

  void settle(std::optional<T> v, std::exception_ptr e) {
    const std::lock_guard lock(mutex);
    value = std::move(v);
    error = std::move(e);
    changed.notify_all();
  }
};

template <class T>
Task<void> answer(std::shared_ptr<CallOwner> owner, std::function<Task<T>(CallOwner&)> question,
                  std::shared_ptr<Answer<T>> to) {
  std::exception_ptr error;
  std::optional<T> value;
  try {
    value.emplace(co_await question(*owner));
  } catch (...) {
    error = std::current_exception();
  }
  to->settle(std::move(value), std::move(error));
}

}  // namespace

// The client's progress is for people: what only a plugin's author wants to know is left out.
void Call::log(plugin::LogLevel level, std::string_view line) noexcept {
  if (!owner_ || level < plugin::LogLevel::info) return;
  loop_.post([owner = owner_, text = std::string(line)]() mutable { owner->log(std::move(text)); });
}

void Call::progress(std::string_view what, std::int64_t done, std::int64_t total) noexcept {
  if (!owner_) return;
  // Ten a second are enough for any eye; the last one always goes through.
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(Loop::Clock::now().time_since_epoch()).count();
  auto last = last_progress_ms_.load();
  if (done != total && (now - last < 100 || !last_progress_ms_.compare_exchange_strong(last, now))) return;
  loop_.post([owner = owner_, text = std::string(what), done, total]() mutable {
    owner->progress(std::move(text), done, total);
  });
}

template <class T>
T Call::ask(std::function<Task<T>(CallOwner&)> question) {
  if (!owner_) throw Error(Code::unavailable, "no client is connected that could be asked");
  const auto shared = std::make_shared<Answer<T>>();
  const auto on_cancel = cancel_.on_cancel([shared] {
    const std::lock_guard lock(shared->mutex);
    shared->cancelled = true;
    shared->changed.notify_all();
  });
  loop_.post([owner = owner_, question = std::move(question), shared]() mutable {
    owner->questions().spawn(answer<T>(owner, std::move(question), shared));
  });
  std::unique_lock lock(shared->mutex);
  shared->changed.wait(lock, [&] { return shared->value || shared->error || shared->cancelled; });
  // The asking thread alone keeps the error from here on.
  if (shared->error) std::rethrow_exception(std::exchange(shared->error, nullptr));
  if (!shared->value) throw Error(Code::cancelled, cancel_.reason());
  return std::move(*shared->value);
}

std::optional<plugin::Credentials> Call::credentials(std::string_view realm) {
  return ask<std::optional<plugin::Credentials>>(
      [realm = std::string(realm)](CallOwner& owner) { return owner.credentials(realm); });
}

UniqueFd Call::open_socket(std::string_view id) {
  return ask<UniqueFd>([id = std::string(id)](CallOwner& owner) { return owner.open_socket(id); });
}

UniqueFd Call::open_secret(std::string_view id) {
  const auto value = ask<std::string>([id = std::string(id)](CallOwner& owner) { return owner.secret(id); });
  return sealed_memfd(value, "secret");
}

}  // namespace dagger::solver
