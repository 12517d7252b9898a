// Long chains: no recursion over the graph, and work that grows with their length only.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;
using testing::FakeClient;

// A chain of writes, put in handfuls so that no handler of the control thread takes long.
dag::Ref chain(Engine& engine, FakeClient& client, dag::Ref base, std::size_t length) {
  std::vector<dag::Op> ops;
  for (std::size_t i = 0; i < length; ++i) {
    dag::Op op{dag::Write{"/" + std::to_string(i), "x", "", 0644}, {base}};
    base = {dag::digest(op), ""};
    ops.push_back(std::move(op));
    if (ops.size() == 50 || i + 1 == length) engine.add(client, std::exchange(ops, {}));
  }
  return base;
}

TEST(Chain, OfFiveThousandOpsIsSolvedAndFoundAgain) {
  Engine engine;
  auto& a = engine.client("a");
  const auto top = chain(engine, a, engine.scratch(a), 5000);
  auto answer = engine.get(a, top);
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(answer.value->stack.size(), 5000U);
  answer = engine.get(a, top);
  EXPECT_EQ(answer.value->stack.size(), 5000U);
}

TEST(Chain, LooksUpEachOpAFewTimesHoweverLongItIs) {
  const auto lookups_per_op = [](std::size_t length) {
    Engine engine;
    auto& a = engine.client("a");
    const auto top = chain(engine, a, engine.scratch(a), length);
    EXPECT_TRUE(engine.get(a, top).value);
    return engine.memory.lookups() / length;
  };
  const auto brief = lookups_per_op(50), lengthy = lookups_per_op(1000);
  EXPECT_LE(lengthy, 2 * brief) << "the work per op grows with the length";
}

// Each is a hit by content, so that nothing ever waits for a pool.
TEST(Chain, OfThousandsOfHitsNeedsNoStack) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  constexpr std::size_t length = 3000;
  ASSERT_TRUE(engine.get(a, chain(engine, a, engine.write(a, engine.scratch(a), "/base", "x"), length)).value);
  const auto layers = engine.memory.usage().layers;
  const auto base = engine.add(b, {{dag::Remove{"/none", true}, {engine.write(b, engine.scratch(b), "/base", "x")}}});
  const auto answer = engine.get(b, chain(engine, b, base, length));
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(engine.memory.usage().layers, layers) << "nothing was made again";
}

TEST(Chain, ThatFailsAtItsBottomEndsWithoutStack) {
  Engine engine;
  auto& a = engine.client("a");
  const auto bad = engine.exec(a, {"exit", "1"}, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  auto wanted = engine.want(a, chain(engine, a, bad, 5000));
  engine.executor.wait_until_started("wait gate");
  engine.executor.open("gate");
  const auto answer = wanted.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_TRUE(answer.value->failure);
  EXPECT_EQ(engine.jobs(), 0U);
}

TEST(Chain, ThatIsCancelledEndsWithoutStack) {
  Engine engine;
  auto& a = engine.client("a");
  auto wanted = engine.want(a, chain(engine, a, engine.exec(a, {"wait", "gate"}, engine.scratch(a)), 5000));
  engine.executor.wait_until_started("wait gate");
  engine.cancel(wanted);
  EXPECT_EQ(wanted.get().code, Code::cancelled);
}

}  // namespace
}  // namespace dagger::solver
