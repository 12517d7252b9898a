// core/solver/client_owner.h — the owner of calls that one client alone waits for: a pin, a directory on its way in.
//
// Control thread. The client and the tasks outlive it and every call that it owns.
#pragma once
#include <string>
#include <utility>

#include "core/solver/call.h"
#include "core/solver/client.h"

namespace dagger::solver {

// What calls tell, as a step's watchers see it; whose step it is, the caller fills in.
inline link::Event log_event(std::string line) {
  link::Event e;
  e.kind = link::EventKind::log;
  e.text = std::move(line) + "\n";
  return e;
}
inline link::Event progress_event(std::string what, std::int64_t done, std::int64_t total) {
  link::Event e;
  e.kind = link::EventKind::progress;
  e.text = std::move(what);
  e.done = done;
  e.total = total;
  return e;
}

class ClientOwner final : public CallOwner {
 public:
  // step: under which the client sees what the calls tell.
  ClientOwner(Client& client, const Digest& step, CancelToken cancel, TaskGroup& tasks)
      : client_(client), step_(step), cancel_(std::move(cancel)), tasks_(tasks) {}
  void log(std::string line) override { tell(log_event(std::move(line))); }
  void progress(std::string what, std::int64_t done, std::int64_t total) override {
    tell(progress_event(std::move(what), done, total));
  }
  Task<std::optional<plugin::Credentials>> credentials(std::string realm) override {
    return client_.credentials(std::move(realm), cancel_);
  }
  Task<UniqueFd> open_socket(std::string id) override { return client_.open_socket(std::move(id), cancel_); }
  Task<std::string> secret(std::string name) override { return client_.secret(std::move(name), cancel_); }
  TaskGroup& questions() override { return tasks_; }

 private:
  void tell(link::Event event) {
    event.op = step_;
    client_.event(event);
  }

  Client& client_;
  const Digest step_;
  CancelToken cancel_;
  TaskGroup& tasks_;
};

}  // namespace dagger::solver
