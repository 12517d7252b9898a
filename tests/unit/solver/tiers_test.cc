// What the solver makes of records that are not what they should be.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "tests/support/fake_host.h"
#include "tests/support/second/memory_cache.h"
#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;

// Takes one record and gives it for every key.
class ConfusedCache final : public testing::MemoryCache {
 public:
  using MemoryCache::MemoryCache;
  void put_record(const std::string&, const std::string& record, const std::vector<std::string>&,
                  plugin::CallContext&) override {
    kept.set_value(record);
  }
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                           plugin::CallContext&) override {
    if (given.empty()) return {};
    return {{keys.front(), given}};
  }
  // What was kept is given from now on.
  void give() {
    auto record = kept.get_future();
    ASSERT_EQ(record.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    given = record.get();
  }
  std::promise<std::string> kept;
  std::string given;
};

TEST(CacheTiers, ARecordThatLacksAnOutputOfTheOpIsAMiss) {
  testing::FakeHost host;
  ConfusedCache tier(host, "{}");
  {
    Engine first({.caches = {{"confused", &tier}}});
    auto& a = first.client("a");
    ASSERT_TRUE(first.get(a, first.write(a, first.scratch(a), "/file", "text")).value);
    tier.give();
  }
  Engine engine({.caches = {{"confused", &tier}}});
  auto& a = engine.client("a");
  const auto exec = engine.exec(a, {"echo", "one"}, engine.scratch(a));
  EXPECT_EQ(engine.out(a, exec), "one\n");
  EXPECT_EQ(engine.out(a, engine.exec(a, {"echo", "two"}, exec)), "two\n");
  EXPECT_EQ(engine.executor.started(), 2U);
}

TEST(Records, OneThatLacksAnOutputOfItsOpIsMadeAgain) {
  Engine engine;
  auto& a = engine.client("a");
  const auto exec = engine.exec(a, {"echo", "one"}, engine.scratch(a));
  store::Record damaged;
  damaged.key = engine.thread.run([&] { return a.graph()->find(exec.op)->key; });
  damaged.kind = "exec";
  engine.memory.put(damaged);
  EXPECT_EQ(engine.out(a, exec), "one\n");
  EXPECT_EQ(engine.executor.started(), 1U);
}

TEST(Records, AStoreThatBreaksWhileAStepIsPlannedFailsThatStepAlone) {
  Engine engine;
  auto& a = engine.client("a");
  const auto written = engine.write(a, engine.scratch(a), "/file", "text");
  const auto exec = engine.exec(a, {"echo", "one"}, written);
  engine.memory.break_lookup(engine.thread.run([&] { return a.graph()->find(written.op)->key; }));
  EXPECT_EQ(engine.get(a, exec).error, "the test's store broke");
  EXPECT_EQ(engine.out(a, exec), "one\n");
}

TEST(Records, LogsThatCannotBeKeptAreNotLeftBehind) {
  Engine engine;
  auto& a = engine.client("a");
  engine.memory.refuse_blob_files();
  EXPECT_EQ(engine.get(a, engine.exec(a, {"echo", "one"}, engine.scratch(a))).code, Code::no_space);
  EXPECT_TRUE(std::filesystem::is_empty(engine.memory.scratch_dir()));
}

}  // namespace
}  // namespace dagger::solver
