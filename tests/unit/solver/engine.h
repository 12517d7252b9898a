// tests/unit/solver/engine.h — a solver on a thread of its own, with clients, for tests that look at it from outside.
#pragma once
#include <functional>
#include <list>
#include <memory>

#include "core/base/log.h"
#include "core/solver/solver.h"
#include "tests/support/fake_client.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_store.h"
#include "tests/unit/solver/loop_thread.h"

namespace dagger::testing {

struct Answer {
  store::Stack stack;
  solver::Solver::RecordPtr record;
  std::optional<link::ExecFailure> failure;
};

// A client that waits for an output.
struct Wanted {
  Pending<Answer> pending;
  CancelSource cancel;
  Outcome<Answer> get() { return pending.get(); }
};

class Engine {
 public:
  struct Parts {
    store::Store* store = nullptr;  // null: in memory
    plugin::Executor* executor = nullptr;
    plugin::Source* source = nullptr;
    plugin::Network* network = nullptr;
    std::vector<std::pair<std::string, plugin::CacheStore*>> caches;
    solver::Limits limits{4, 4, std::chrono::milliseconds(50)};
  };
  Engine() : Engine(Parts{}) {}
  explicit Engine(Parts parts);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  FakeClient& client(std::string name, std::string scope = "uid:0", std::string inside_exec = "");
  // Puts ops of a client; the last one's main output.
  dag::Ref add(FakeClient& client, std::vector<dag::Op> ops);
  dag::Ref scratch(FakeClient& client) { return add(client, {{dag::Scratch{}, {}}}); }
  dag::Ref exec(FakeClient& client, std::vector<std::string> args, dag::Ref root,
                const std::function<void(dag::Op&, dag::Exec&)>& change = {});
  dag::Ref write(FakeClient& client, dag::Ref base, std::string path, std::string data) {
    return add(client, {{dag::Write{std::move(path), std::move(data), "", 0644}, {std::move(base)}}});
  }

  Wanted want(FakeClient& client, const dag::Ref& output);
  Outcome<Answer> get(FakeClient& client, const dag::Ref& output) { return want(client, output).get(); }
  // Standard output of an exec that must succeed.
  std::string out(FakeClient& client, const dag::Ref& exec);
  // The way a session goes: what it waits for is called off, then it leaves.
  void cancel(Wanted& wanted);
  void leave(FakeClient& client);
  // Ends the solver with whatever it is doing.
  void close();
  std::size_t jobs();

  LoopThread thread;
  MemoryStore memory;
  FakeExecutor executor;
  FakeNetwork network;
  store::Store& store;
  solver::Solver& solver() { return *solver_; }

 private:
  Log log_{Level::off, 2};
  std::list<FakeClient> clients_;
  std::unique_ptr<solver::Solver> solver_;
};

}  // namespace dagger::testing
