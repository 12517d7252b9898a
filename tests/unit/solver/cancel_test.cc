// Clients that go, slots that are lent, and the end of the solver.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;
using testing::FakeClient;
using Lines = std::vector<std::string>;

TEST(Cancel, OfTheFirstOfTwoWaitersLeavesTheResultToTheSecond) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  auto first = engine.want(a, engine.exec(a, {"wait", "gate", "result"}, engine.scratch(a)));
  engine.executor.wait_until_started("wait gate result");
  auto second = engine.want(b, engine.exec(b, {"wait", "gate", "result"}, engine.scratch(b)));
  engine.cancel(first);
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.leave(a);
  engine.executor.open("gate");
  const auto answer = second.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(engine.memory.blob(answer.value->record->stdout_log), "result");
  EXPECT_EQ(engine.executor.started(), 1U);
  EXPECT_TRUE(engine.executor.signals("wait gate result").empty());
  EXPECT_EQ(b.log(), "result");
}

TEST(Cancel, OfOneWantOfAClientLeavesItsOthers) {
  Engine engine;
  auto& a = engine.client("a");
  const auto op = engine.exec(a, {"wait", "gate"}, engine.scratch(a));
  auto first = engine.want(a, op), second = engine.want(a, op);
  engine.executor.wait_until_started("wait gate");
  engine.cancel(first);
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.executor.open("gate");
  EXPECT_TRUE(second.get().value);
}

TEST(Cancel, OfTheLastWaiterEndsTheProcess) {
  Engine engine;
  auto& a = engine.client("a");
  auto only = engine.want(a, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  engine.executor.wait_until_started("wait gate");
  engine.cancel(only);
  EXPECT_EQ(only.get().code, Code::cancelled);
  engine.executor.wait_until_signalled("wait gate", SIGTERM);
  engine.close();
  EXPECT_EQ(engine.executor.signals("wait gate"), std::vector<int>{SIGTERM});
  EXPECT_EQ(engine.memory.usage().records, 0U);
  EXPECT_EQ(engine.memory.leased(), 0U);
}

TEST(Cancel, KillsAProcessThatDoesNotEndInTime) {
  Engine engine;
  auto& a = engine.client("a");
  auto only = engine.want(a, engine.exec(a, {"stubborn", "gate"}, engine.scratch(a)));
  engine.executor.wait_until_started("stubborn gate");
  engine.cancel(only);
  EXPECT_EQ(only.get().code, Code::cancelled);
  engine.executor.wait_until_signalled("stubborn gate", SIGKILL);
  EXPECT_EQ(engine.executor.signals("stubborn gate"), (std::vector<int>{SIGTERM, SIGKILL}));
}

TEST(Cancel, IsForgottenWhenSomebodyWantsTheOpAfterwards) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  auto first = engine.want(a, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  engine.executor.wait_until_started("wait gate");
  engine.cancel(first);
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.leave(a);
  engine.executor.open("gate");
  EXPECT_TRUE(engine.get(b, engine.exec(b, {"wait", "gate"}, engine.scratch(b))).value);
}

// The second comes while the process of the first is still on its way out.
TEST(Cancel, RestartsAnOpThatIsWantedAgainWhileItEnds) {
  Engine engine({.limits = {4, 4, std::chrono::milliseconds(50)}});
  auto &a = engine.client("a"), &b = engine.client("b");
  auto first = engine.want(a, engine.exec(a, {"stubborn", "gate"}, engine.scratch(a)));
  engine.executor.wait_until_started("stubborn gate");
  engine.cancel(first);
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.leave(a);
  auto second = engine.want(b, engine.exec(b, {"stubborn", "gate"}, engine.scratch(b)));
  engine.executor.wait_until_started("stubborn gate", 2);
  engine.executor.open("gate");
  const auto answer = second.get();
  EXPECT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(engine.executor.signals("stubborn gate"), (std::vector<int>{SIGTERM, SIGKILL}));
}

TEST(Cancel, BeforeAnOpHasItsTurnStartsNothing) {
  Engine engine({.limits = {1, 4, std::chrono::milliseconds(50)}});
  auto &a = engine.client("a"), &b = engine.client("b");
  auto holder = engine.want(a, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  engine.executor.wait_until_started("wait gate");
  auto queued = engine.want(b, engine.exec(b, {"true"}, engine.exec(b, {"echo", "first"}, engine.scratch(b))));
  engine.thread.settle();
  engine.cancel(queued);
  EXPECT_EQ(queued.get().code, Code::cancelled);
  engine.executor.open("gate");
  EXPECT_TRUE(holder.get().value);
  engine.close();
  EXPECT_EQ(engine.executor.order(), Lines{"wait gate"});
}

TEST(Cancel, OfADependentLeavesWhatOthersWant) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto base = [&](FakeClient& c) { return engine.exec(c, {"wait", "gate"}, engine.scratch(c)); };
  auto more = engine.want(a, engine.exec(a, {"true"}, base(a)));
  engine.executor.wait_until_started("wait gate");
  auto less = engine.want(b, base(b));
  engine.cancel(more);
  EXPECT_EQ(more.get().code, Code::cancelled);
  engine.leave(a);
  engine.executor.open("gate");
  EXPECT_TRUE(less.get().value);
  engine.close();
  EXPECT_EQ(engine.executor.order(), Lines{"wait gate"});
}

TEST(Cancel, BeforeTheStartIsAnError) {
  Engine engine;
  auto& a = engine.client("a");
  const auto op = engine.exec(a, {"true"}, engine.scratch(a));
  CancelSource cancel;
  cancel.request("early");
  const auto stack = engine.thread.start([&] { return engine.solver().outcome(a, op.op, cancel.token()); }).get();
  EXPECT_EQ(stack.code, Code::cancelled);
  EXPECT_EQ(engine.executor.started(), 0U);
}

TEST(Leave, OfAClientThatIsAskedForASecretTurnsToTheNext) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  a.silent = true;
  b.secrets = {{"token", "h8sh"}};
  const auto uses = [&](FakeClient& c) {
    return engine.exec(c, {"env", "TOKEN"}, engine.scratch(c),
                       [](dag::Op&, dag::Exec& e) { e.secret_env = {{"TOKEN", "token"}}; });
  };
  auto first = engine.want(a, uses(a));
  a.wait_until_asked("secret token");
  auto second = engine.want(b, uses(b));
  engine.thread.run([&] { a.hang_up(); });
  engine.cancel(first);
  engine.leave(a);
  const auto answer = second.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(engine.memory.blob(answer.value->record->stdout_log), "***\n");
  EXPECT_EQ(b.asked(), Lines{"secret token"});
}

TEST(Leave, OfTheOnlyClientThatIsAskedEndsTheOp) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  a.silent = true;
  b.secrets = {{"token", "h8sh"}};
  const auto uses = [&](FakeClient& c) {
    return engine.exec(c, {"true"}, engine.scratch(c),
                       [](dag::Op&, dag::Exec& e) { e.secret_env = {{"TOKEN", "token"}}; });
  };
  auto first = engine.want(a, uses(a));
  a.wait_until_asked("secret token");
  engine.cancel(first);
  engine.thread.run([&] { a.hang_up(); });
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.leave(a);
  EXPECT_TRUE(engine.get(b, uses(b)).value) << "the next one starts from the beginning";
}

TEST(Leave, SendsNoMoreEvents) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  auto first = engine.want(a, engine.exec(a, {"wait", "gate", "late"}, engine.scratch(a)));
  auto second = engine.want(b, engine.exec(b, {"wait", "gate", "late"}, engine.scratch(b)));
  engine.executor.wait_until_started("wait gate late");
  engine.cancel(first);
  engine.leave(a);
  const auto before = a.events().size();
  engine.executor.open("gate");
  EXPECT_TRUE(second.get().value);
  EXPECT_EQ(a.events().size(), before);
  EXPECT_EQ(b.log(), "late");
}

// ---- the limit ----

TEST(Limit, OfOneRunsOneExecAtATime) {
  Engine engine({.limits = {1, 4, std::chrono::milliseconds(50)}});
  auto& a = engine.client("a");
  std::vector<dag::Ref> parts;
  for (int i = 0; i < 20; ++i) parts.push_back(engine.exec(a, {"echo", std::to_string(i)}, engine.scratch(a)));
  EXPECT_TRUE(engine.get(a, engine.add(a, {{dag::Merge{}, parts}})).value);
  EXPECT_EQ(engine.executor.most_at_once(), 1U);
  EXPECT_EQ(engine.executor.started(), 20U);
}

TEST(Limit, OfOneCannotDeadlockWithThreeNestedLevels) {
  Engine engine({.limits = {1, 4, std::chrono::milliseconds(50)}});
  auto& outer = engine.client("outer");
  auto one = engine.want(outer, engine.exec(outer, {"wait", "1"}, engine.scratch(outer)));
  engine.executor.wait_until_started("wait 1");
  auto& inner = engine.client("inner", "uid:0", engine.executor.exec_id("wait 1"));
  auto two = engine.want(inner, engine.exec(inner, {"wait", "2"}, engine.scratch(inner)));
  engine.executor.wait_until_started("wait 2");
  auto& innermost = engine.client("innermost", "uid:0", engine.executor.exec_id("wait 2"));
  auto three = engine.want(innermost, engine.exec(innermost, {"true"}, engine.scratch(innermost)));
  EXPECT_TRUE(three.get().value);
  engine.executor.open("2");
  EXPECT_TRUE(two.get().value);
  engine.executor.open("1");
  EXPECT_TRUE(one.get().value);
}

TEST(Limit, HoldsForStrangersWhileANestedClientWorks) {
  Engine engine({.limits = {1, 4, std::chrono::milliseconds(50)}});
  auto &outer = engine.client("outer"), &stranger = engine.client("stranger");
  auto one = engine.want(outer, engine.exec(outer, {"wait", "1"}, engine.scratch(outer)));
  engine.executor.wait_until_started("wait 1");
  auto other = engine.want(stranger, engine.exec(stranger, {"true"}, engine.scratch(stranger)));
  engine.thread.settle();
  EXPECT_EQ(engine.executor.started(), 1U);
  engine.executor.open("1");
  EXPECT_TRUE(one.get().value && other.get().value);
}

// ---- the end ----

TEST(Close, EndsWhatRunsAndWhatWaits) {
  Engine engine({.limits = {1, 4, std::chrono::milliseconds(50)}});
  auto &a = engine.client("a"), &b = engine.client("b");
  auto running = engine.want(a, engine.exec(a, {"stubborn", "never"}, engine.scratch(a)));
  engine.executor.wait_until_started("stubborn never");
  auto behind = engine.want(a, engine.exec(a, {"true"}, engine.exec(a, {"stubborn", "never"}, engine.scratch(a))));
  auto queued = engine.want(b, engine.exec(b, {"echo", "b"}, engine.scratch(b)));
  b.silent = true;
  auto asked = engine.want(b, engine.exec(b, {"true"}, engine.scratch(b),
                                          [](dag::Op&, dag::Exec& e) { e.secret_env = {{"TOKEN", "token"}}; }));
  b.wait_until_asked("secret token");
  engine.thread.run([&] { b.hang_up(); });
  engine.close();
  for (auto* wanted : {&running, &behind, &queued, &asked}) EXPECT_FALSE(wanted->get().value);
  EXPECT_EQ(engine.executor.running(), 0U);
  EXPECT_EQ(engine.executor.started(), 1U);
  EXPECT_EQ(engine.memory.leased(), 0U);
}

TEST(Output, ThatAnExecutorHoldsOpenEndsWithTheProcess) {
  Engine engine;
  auto& a = engine.client("a");
  EXPECT_EQ(engine.out(a, engine.exec(a, {"leak", "text"}, engine.scratch(a))), "text\n");
}

TEST(Close, OfAnIdleSolverIsQuick) {
  Engine engine;
  engine.close();
}

}  // namespace
}  // namespace dagger::solver
