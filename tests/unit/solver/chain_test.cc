// Long chains: no recursion over the graph, and work that grows with their length only.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;
using testing::FakeClient;

// What a pipeline is made of at each place.
using Link = std::function<dag::Fields(std::size_t)>;
const Link no_change = [](std::size_t i) { return dag::Remove{"/" + std::to_string(i), false}; };
const Link a_file = [](std::size_t i) { return dag::Write{"/" + std::to_string(i), "x", "", 0644}; };

// Put in handfuls, so that no handler of the control thread takes long.
dag::Ref chain(Engine& engine, FakeClient& client, dag::Ref base, std::size_t length, const Link& link) {
  std::vector<dag::Op> ops;
  for (std::size_t i = 0; i < length; ++i) {
    dag::Op op{link(i), {base}};
    base = {dag::digest(op), ""};
    ops.push_back(std::move(op));
    if (ops.size() == 50 || i + 1 == length) engine.add(client, std::exchange(ops, {}));
  }
  return base;
}

TEST(Chain, OfFiveThousandOpsIsSolvedAndFoundAgain) {
  Engine engine;
  auto& a = engine.client("a");
  const auto top = chain(engine, a, engine.write(a, engine.scratch(a), "/base", "x"), 5000, no_change);
  for (int i = 0; i < 2; ++i) {
    const auto answer = engine.get(a, top);
    ASSERT_TRUE(answer.value) << answer.error;
    EXPECT_EQ(answer.value->stack.size(), 1U);
  }
  EXPECT_EQ(engine.memory.usage().records, 5001U);
}

TEST(Chain, OfLayersStacksThemAll) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, chain(engine, a, engine.scratch(a), 600, a_file));
  ASSERT_TRUE(answer.value) << answer.error;
  ASSERT_EQ(answer.value->stack.size(), 600U);
  EXPECT_TRUE(std::ranges::is_sorted(answer.value->stack));
}

TEST(Chain, LooksUpEachOpAFewTimesHoweverLongItIs) {
  const auto lookups_per_op = [](std::size_t length) {
    Engine engine;
    auto& a = engine.client("a");
    EXPECT_TRUE(engine.get(a, chain(engine, a, engine.scratch(a), length, no_change)).value);
    return engine.memory.lookups() / length;
  };
  EXPECT_LE(lookups_per_op(500), lookups_per_op(100) + 1) << "the work per op grows with the length";
}

// Each is a hit by content, so that nothing ever waits for a pool.
TEST(Chain, OfAThousandHitsNeedsNoStack) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  constexpr std::size_t length = 1000;
  const auto base_a = engine.write(a, engine.scratch(a), "/base", "x");
  ASSERT_TRUE(engine.get(a, chain(engine, a, base_a, length, no_change)).value);
  const auto layers = engine.memory.usage().layers;
  const auto base = engine.add(b, {{dag::Remove{"/none", true}, {engine.write(b, engine.scratch(b), "/base", "x")}}});
  const auto answer = engine.get(b, chain(engine, b, base, length, no_change));
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(engine.memory.usage().layers, layers) << "nothing was made again";
}

TEST(Chain, ThatFailsAtItsBottomEndsWithoutStack) {
  Engine engine;
  auto& a = engine.client("a");
  const auto bad = engine.exec(a, {"exit", "1"}, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  auto wanted = engine.want(a, chain(engine, a, bad, 1000, no_change));
  engine.executor.wait_until_started("wait gate");
  engine.executor.open("gate");
  const auto answer = wanted.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_TRUE(answer.value->failure);
  EXPECT_EQ(engine.jobs(), 0U);
}

TEST(Chain, GoesOnForTheSecondOfTwoClients) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto pipeline = [&](FakeClient& c) {
    return chain(engine, c, engine.exec(c, {"wait", "gate", "late"}, engine.scratch(c)), 1000, no_change);
  };
  auto first = engine.want(a, pipeline(a));
  engine.executor.wait_until_started("wait gate late");
  auto second = engine.want(b, pipeline(b));
  engine.cancel(first);
  EXPECT_EQ(first.get().code, Code::cancelled);
  engine.leave(a);
  for (int turn = 0; turn < 20; ++turn) engine.thread.settle();  // the news comes down the chain
  engine.executor.open("gate");
  const auto answer = second.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(b.log(), "late");
  EXPECT_EQ(engine.executor.started(), 1U);
}

TEST(Chain, ThatIsCancelledEndsWithoutStack) {
  Engine engine;
  auto& a = engine.client("a");
  auto wanted = engine.want(a, chain(engine, a, engine.exec(a, {"wait", "gate"}, engine.scratch(a)), 1000, no_change));
  engine.executor.wait_until_started("wait gate");
  engine.cancel(wanted);
  EXPECT_EQ(wanted.get().code, Code::cancelled);
}

}  // namespace
}  // namespace dagger::solver
