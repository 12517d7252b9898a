// core/solver/job.h — one op being made, for all who want it. Control thread only; owned by Solver::jobs_ while it is
// wanted or running.
#pragma once
#include <algorithm>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/solver/solver.h"

namespace dagger::solver {

struct Job final : CallOwner, std::enable_shared_from_this<Job> {
  Job(Solver& s, std::shared_ptr<dag::Graph> g, const dag::Vertex& v);

  struct Waiter {
    Client* client;  // null once it has left
    OneShot<Solver::RecordPtr> result;
  };

  Solver& solver;
  std::shared_ptr<dag::Graph> graph;  // keeps vertex alive
  const dag::Vertex& vertex;
  std::string name;  // what a person sees: "exec echo hi"

  enum class State { planned, running, ended } state = State::planned;
  std::size_t missing = 0;  // dependencies that are not finished
  std::vector<std::shared_ptr<Job>> dependencies;
  std::vector<Job*> dependents;
  std::list<Waiter> waiters;
  CancelSource cancel;
  StackWalk::Known known;            // of dependencies that have finished, and of inputs that were there
  StackWalk::Known made;             // of its own outputs, once it has finished
  std::vector<store::Stack> inputs;  // once it is ready to run
  // Every client that waits for this job or for one that depends on it, as far as the news has come. Changes with time.
  std::vector<Client*> audience;

  bool wanted() const noexcept { return !waiters.empty() || !dependents.empty(); }
  // Whether the audience has changed: by these, or by who waits and depends now.
  bool hear(const std::vector<Client*>& clients);
  bool recount();
  // One of the audience. Throws Error{cancelled} when nobody is left.
  Client& any_client();
  // Whose share of what is shared it takes; empty when nobody is left.
  std::string client_name() const { return audience.empty() ? std::string() : audience.front()->name(); }
  // The answer of the first of the audience that has one: a client may leave while it is asked, and one that came later
  // may know.
  template <class T>
  Task<T> ask(std::function<Task<T>(Client&)> question) {
    std::set<const Client*> asked;
    for (Client* client = &any_client();;) {
      asked.insert(client);
      std::exception_ptr error;
      try {
        co_return co_await question(*client);
      } catch (...) {
        error = std::current_exception();
      }
      const auto next = std::ranges::find_if(audience, [&](const Client* c) { return !asked.contains(c); });
      if (cancel.requested() || next == audience.end()) std::rethrow_exception(error);
      client = *next;
    }
  }
  void tell(link::Event event);
  void started(std::string why);
  void ended(link::Outcome outcome, std::string text, std::string how = {});
  // The context of one plugin call. Keeps the job alive.
  Call call() { return Call(solver.loop(), shared_from_this(), cancel.token()); }

  // CallOwner
  void log(std::string line) override;
  void progress(std::string what, std::int64_t done, std::int64_t total) override;
  Task<std::optional<plugin::Credentials>> credentials(std::string realm) override;
  Task<UniqueFd> open_socket(std::string id) override;
  Task<std::string> secret(std::string secret_name) override;
  TaskGroup& questions() override;
};

// "exec echo hi", "pull docker.io/library/alpine:3", "copy /a", ...
std::string describe(const dag::Op& op);

}  // namespace dagger::solver
