// tests/support/fake_client.h — a connected session: ops, secrets, and the events it was told.
//
// Methods of solver::Client run on the loop's thread; the rest is for the test's thread. [thread-safe]
#pragma once
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "core/solver/client.h"

namespace dagger::testing {

class FakeClient final : public solver::Client {
 public:
  FakeClient(Loop& loop, std::string name, std::string scope = "uid:0", std::string inside_exec = "")
      : loop_(loop),
        name_(std::move(name)),
        scope_(std::move(scope)),
        inside_exec_(std::move(inside_exec)),
        graph_(std::make_shared<dag::Graph>(scope_)) {}

  const std::shared_ptr<dag::Graph>& graph() const override { return graph_; }
  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return name_; }
  const std::string& inside_exec() const override { return inside_exec_; }

  Task<std::string> secret(std::string name, CancelToken cancel) override;
  Task<std::optional<plugin::Credentials>> credentials(std::string realm, CancelToken) override {
    co_await answer("credentials " + realm);
    const auto found = known_credentials.find(realm);
    if (found == known_credentials.end()) co_return std::nullopt;
    co_return found->second;
  }
  Task<UniqueFd> open_socket(std::string id, CancelToken) override {
    co_await answer("socket " + id);
    throw Error(Code::not_found, "no socket " + id);
  }
  void event(const link::Event& event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
    changed_.notify_all();
  }
  bool first_mention(const Digest& op) override { return mentioned_.insert(op).second; }

  // Set before the solver asks.
  std::map<std::string, std::string> secrets;
  std::map<std::string, plugin::Credentials> known_credentials;
  bool silent = false;  // questions stay open until hang_up()

  // The connection is lost: what was asked, and what will be, fails. Loop's thread.
  void hang_up() {
    lost_ = true;
    for (const auto& q : open_) q.fail(std::make_exception_ptr(Error(Code::unavailable, "the session has gone")));
  }

  std::vector<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void wait_until_asked(const std::string& question) const {
    wait([&] { return std::ranges::find(asked_, question) != asked_.end(); }, question);
  }
  std::vector<link::Event> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  void wait_for_log(const std::string& text) const {
    wait([&] { return log_locked().find(text) != std::string::npos; }, text);
  }
  // All output it was shown.
  std::string log() const {
    const std::lock_guard lock(mutex_);
    return log_locked();
  }
  // Events as text: "started exec true: never made before", "done exec true", "cached exec true: content", ...
  std::vector<std::string> story() const;

 private:
  Task<void> answer(std::string question) {
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(std::move(question));
      changed_.notify_all();
    }
    if (lost_) throw Error(Code::unavailable, "the session has gone");
    if (!silent) co_return;
    const OneShot<Unit> never(loop_);
    open_.push_back(never);
    co_await never;
  }
  template <class Condition>
  void wait(Condition condition, const std::string& what) const {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), condition))
      throw Error(Code::internal, "'" + what + "' did not happen");
  }
  std::string log_locked() const {
    std::string all;
    for (const auto& e : events_)
      if (e.kind == link::EventKind::log) all += e.text;
    return all;
  }

  Loop& loop_;
  const std::string name_, scope_, inside_exec_;
  const std::shared_ptr<dag::Graph> graph_;
  std::set<Digest> mentioned_;
  std::vector<OneShot<Unit>> open_;
  bool lost_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<std::string> asked_;
  std::vector<link::Event> events_;
};

inline Task<std::string> FakeClient::secret(std::string name, CancelToken) {
  co_await answer("secret " + name);
  const auto found = secrets.find(name);
  if (found == secrets.end()) throw Error(Code::not_found, "no secret " + name);
  co_return found->second;
}

inline std::vector<std::string> FakeClient::story() const {
  static constexpr const char* outcomes[] = {"done", "cached", "failed", "cancelled"};
  std::vector<std::string> lines;
  for (const auto& e : events()) {
    if (e.kind == link::EventKind::started) lines.push_back("started " + e.name + ": " + e.reason);
    if (e.kind == link::EventKind::finished)
      lines.push_back(std::string(outcomes[static_cast<int>(e.outcome)]) + " " + e.name +
                      (e.reason.empty() ? "" : ": " + e.reason));
  }
  return lines;
}

}  // namespace dagger::testing
