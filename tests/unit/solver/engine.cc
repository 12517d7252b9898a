#include "tests/unit/solver/engine.h"

#include <gtest/gtest.h>

#include "tests/support/digested_ops.h"

namespace dagger::testing {
namespace {

Task<Answer> solve(solver::Solver& solver, FakeClient& client, dag::Ref output, CancelToken cancel) {
  Answer answer;
  try {
    answer.stack = co_await solver.stack(client, output, cancel);
    answer.record = co_await solver.outcome(client, output.op, cancel);
  } catch (const solver::ExecFailed& e) {
    answer.failure = e.failure();
  }
  co_return answer;
}

}  // namespace

Engine::Engine(Parts parts) : store(parts.store != nullptr ? *parts.store : memory) {
  solver::Backends backends{parts.executor != nullptr ? *parts.executor : executor, {}, {}, std::move(parts.caches)};
  backends.source = [source = parts.source](const std::string& scheme) -> plugin::Source& {
    if (source == nullptr) throw Error(Code::unsupported, "no source for " + scheme);
    return *source;
  };
  plugin::Network* net = parts.network != nullptr ? parts.network : &network;
  backends.network = [net](const std::string&) -> plugin::Network& { return *net; };
  thread.run([&] {
    solver_ = std::make_unique<solver::Solver>(thread.loop(), store, std::move(backends), parts.limits, log_);
  });
}

Engine::~Engine() { close(); }

void Engine::close() {
  if (!solver_) return;
  const auto closed = thread.start([&] { return solver_->close(); }).get();
  EXPECT_TRUE(closed.value) << closed.error;
  thread.run([&] {
    EXPECT_EQ(solver_->running(), 0U);
    solver_.reset();
  });
}

FakeClient& Engine::client(std::string name, std::string scope, std::string inside_exec) {
  return clients_.emplace_back(thread.loop(), std::move(name), std::move(scope), std::move(inside_exec));
}

dag::Ref Engine::add(FakeClient& client, std::vector<dag::Op> ops) {
  const dag::Ref last{dag::digest(ops.back()), dag::main_output(ops.back())};
  thread.run([&] { client.graph()->add(digested(std::move(ops))); });
  return last;
}

dag::Ref Engine::exec(FakeClient& client, std::vector<std::string> args, dag::Ref root,
                      const std::function<void(dag::Op&, dag::Exec&)>& change) {
  dag::Exec exec;
  exec.args = std::move(args);
  dag::Op op{dag::Scratch{}, {std::move(root)}};
  if (change) change(op, exec);
  op.fields = std::move(exec);
  return add(client, {std::move(op)});
}

Wanted Engine::want(FakeClient& client, const dag::Ref& output) {
  CancelSource cancel;
  return {thread.start([&] { return solve(*solver_, client, output, cancel.token()); }), cancel};
}

std::string Engine::out(FakeClient& client, const dag::Ref& exec) {
  const auto outcome = get(client, exec);
  if (!outcome.value) return "error: " + outcome.error;
  if (outcome.value->failure) return "failed: " + outcome.value->failure->err;
  return read_all(store.open_blob(outcome.value->record->stdout_log).get(), 1 << 20);
}

void Engine::cancel(Wanted& wanted) {
  thread.run([&] { wanted.cancel.request("the session ends"); });
}

void Engine::leave(FakeClient& client) {
  thread.run([&] { solver_->leave(client); });
}

std::size_t Engine::jobs() {
  return thread.run([&] { return solver_->running(); });
}

}  // namespace dagger::testing
