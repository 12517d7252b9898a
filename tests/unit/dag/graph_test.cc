#include "core/dag/graph.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <random>

#include "dagger/plugin/error.h"
#include "tests/support/digested_ops.h"
#include "tests/unit/dag/sample_ops.h"

namespace dagger::dag {
namespace {

Op write(const Op& base, const std::string& path) {
  return {Write{path, "data", "", 0644}, {{digest(base), main_output(base)}}};
}

std::vector<Op> chain(std::size_t length) {
  std::vector<Op> ops{{Scratch{}, {}}};
  while (ops.size() < length) ops.push_back(write(ops.back(), "/" + std::to_string(ops.size())));
  return ops;
}

Code code_of(Graph& graph, std::vector<Op> ops) {
  try {
    graph.add(dagger::testing::digested(std::move(ops)));
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "taken";
  return Code::internal;
}

TEST(Graph, GivesTheSameKeysInWhateverOrderOpsCome) {
  auto ops = chain(50);
  Graph ordered("s");
  ordered.add(dagger::testing::digested(ops));
  std::mt19937 random(7);
  for (int i = 0; i < 20; ++i) {
    std::ranges::shuffle(ops, random);
    Graph shuffled("s");
    shuffled.add(dagger::testing::digested(ops));
    ASSERT_EQ(shuffled.size(), ordered.size());
    for (const auto& op : ops) EXPECT_EQ(shuffled.find(digest(op))->key, ordered.find(digest(op))->key);
  }
}

TEST(Graph, TakesAnOpTwiceAsOnce) {
  const auto ops = chain(3);
  Graph graph("s");
  graph.add(dagger::testing::digested({ops[0], ops[1], ops[1], ops[0]}));
  graph.add(dagger::testing::digested(ops));
  EXPECT_EQ(graph.size(), 3U);
}

TEST(Graph, NamesTheInputThatNobodyHas) {
  const auto ops = chain(2);
  Graph graph("s");
  try {
    graph.add(dagger::testing::digested({ops[1]}));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::not_found);
    EXPECT_NE(std::string(e.what()).find(digest(ops[0]).str()), std::string::npos);
  }
  EXPECT_EQ(graph.find(digest(ops[1])), nullptr);
}

TEST(Graph, RefusesAnOutputThatTheInputHasNot) {
  const Op base{Scratch{}, {}};
  Graph graph("s");
  EXPECT_EQ(code_of(graph, {base, {Write{"/f", "", "", 0644}, {{digest(base), "root"}}}}), Code::corrupt_data);
}

TEST(Graph, TimesMatterToEverythingAfterTheyWereSet) {
  const Op scratch{Scratch{}, {}};
  const Op plain = write(scratch, "/a");
  const Op times{Timestamps{0}, {{digest(plain), ""}}};
  const Op after = write(times, "/b");
  const Op merged{Merge{}, {{digest(plain), ""}, {digest(after), ""}}};
  Graph graph("s");
  graph.add(dagger::testing::digested({scratch, plain, times, after, merged}));
  const auto matter = [&](const Op& op) { return graph.find(digest(op))->times_matter; };
  EXPECT_FALSE(matter(scratch));
  EXPECT_FALSE(matter(plain));
  EXPECT_TRUE(matter(times));
  EXPECT_TRUE(matter(after));
  EXPECT_TRUE(matter(merged));
}

TEST(Graph, KnowsScopesApartOnlyDownstreamOfWhatNeedsThem) {
  const Op scratch{Scratch{}, {}};
  Exec with_cache;
  with_cache.args = {"true"};
  with_cache.mounts.push_back({MountType::cache, "/c", -1, "", false, "npm"});
  const Op exec{with_cache, {{digest(scratch), ""}}};
  const Op after = write(exec, "/b"), beside = write(scratch, "/b");
  Graph one("uid:1"), two("uid:2");
  for (auto* g : {&one, &two}) g->add(dagger::testing::digested({scratch, exec, after, beside}));
  const auto same = [&](const Op& op) { return one.find(digest(op))->key == two.find(digest(op))->key; };
  EXPECT_TRUE(same(scratch));
  EXPECT_TRUE(same(beside));
  EXPECT_FALSE(same(exec));
  EXPECT_FALSE(same(after));
}

// On a thread with a small stack, so that recursion over the graph would end the program.
template <class F>
void with_small_stack(F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 512 * 1024);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    (*static_cast<F*>(p))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, body, &f), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(Graph, TakesAChainOfTenThousandOpsWithoutStack) {
  with_small_stack([] {
    auto ops = chain(10'000);
    const Digest top = digest(ops.back());
    std::ranges::reverse(ops);
    Graph graph("s");
    graph.add(dagger::testing::digested(std::move(ops)));
    EXPECT_NE(graph.find(top), nullptr);
    EXPECT_EQ(graph.size(), 10'000U);
  });
}

TEST(Graph, MergesOfTheSameInputsStaySmall) {
  // 2^40 paths lead from the top to the bottom.
  std::vector<Op> ops{{Scratch{}, {}}};
  for (int i = 0; i < 40; ++i) {
    const Ref below{digest(ops.back()), ""};
    ops.push_back({Merge{}, {below, below}});
  }
  Graph graph("s");
  const Digest top = digest(ops.back());
  graph.add(dagger::testing::digested(ops));
  EXPECT_NE(graph.find(top), nullptr);
  EXPECT_EQ(graph.size(), 41U);
}

}  // namespace
}  // namespace dagger::dag
