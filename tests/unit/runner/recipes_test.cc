// What ids stand for: kept by one session, found by another, within limits.
#include "tests/unit/runner/sessions.h"

namespace dagger::runner {
namespace {

namespace method = link::method;

// Ops that build on each other: scratch, then writes.
std::vector<dag::Op> chain(std::size_t length, const std::string& data = "text") {
  std::vector<dag::Op> ops{{dag::Scratch{}, {}}};
  while (ops.size() < length)
    ops.push_back({dag::Write{"/" + std::to_string(ops.size()), data, "", 0644}, {{dag::digest(ops.back()), ""}}});
  return ops;
}

std::size_t encoded_size(const std::vector<dag::Op>& ops) {
  std::size_t bytes = 0;
  for (const auto& op : ops) bytes += dag::encode(op).size();
  return bytes;
}

link::Recipe recipe(std::string id, const std::vector<dag::Op>& ops, std::string body = "body") {
  return {std::move(id), "Directory", std::move(body), {dag::digest(ops.back())}};
}

class Recipes : public ConnectedSessions {
 protected:
  void put_ops(link::Peer& peer, const std::vector<dag::Op>& ops) {
    constexpr std::size_t at_once = 1000;
    for (std::size_t at = 0; at < ops.size(); at += at_once) {
      link::PutOps request;
      for (std::size_t i = at; i < std::min(at + at_once, ops.size()); ++i) request.ops.push_back(dag::encode(ops[i]));
      ask(peer, method::put_ops, std::move(request));
    }
  }
  void put(link::Peer& peer, const link::Recipe& recipe) { ask(peer, method::put_recipe, recipe); }
  // Why a recipe is refused: code and text.
  std::string refusal(link::Peer& peer, const link::Recipe& recipe) {
    const auto error = failure(peer.call(method::put_recipe, cbor::pack(recipe), {}));
    return error ? std::string(code_name(error->code())) + ": " + error->what() : "none";
  }
  link::Recipe get(link::Peer& peer, const std::string& id) {
    return cbor::unpack<link::Recipe>(ask(peer, method::get_recipe, link::RecipeId{id}));
  }
  static Task<void> put_later(link::Peer& peer, link::Recipe recipe) {
    co_await peer.call(method::put_recipe, cbor::pack(recipe), {});
  }
};

TEST_F(Recipes, OfOneSessionAreLoadedAndBuiltByAnother) {
  const auto ops = chain(3);
  {
    const auto first = session();
    put_ops(*first, ops);
    put(*first, recipe("id", ops));
  }
  const auto other = session();
  const auto found = get(*other, "id");
  EXPECT_EQ(found.kind, "Directory");
  EXPECT_EQ(found.body, "body");
  ASSERT_EQ(found.ops, std::vector<Digest>{dag::digest(ops.back())});
  const auto listed = ask(*other, method::entries, link::PathRequest{{found.ops[0], ""}, "/", "", true, 0, 0});
  EXPECT_EQ(cbor::unpack<link::Entries>(listed).entries.size(), 2U);
}

TEST_F(Recipes, ThatNobodyPutAreUnknown) {
  const auto peer = session();
  const auto error = failure(peer->call(method::get_recipe, cbor::pack(link::RecipeId{"id"}), {}));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::not_found);
  EXPECT_EQ(refusal(*peer, recipe("id", chain(1))),
            "not_found: a recipe names an op that was not put: " + dag::digest(chain(1)[0]).str());
}

TEST_F(Recipes, AreCounted) {
  info_.recipe_limits.recipes = 2;
  const auto peer = session();
  const auto ops = chain(1);
  put_ops(*peer, ops);
  put(*peer, recipe("1", ops));
  put(*peer, recipe("2", ops));
  EXPECT_EQ(refusal(*peer, recipe("3", ops)),
            "no_space: the ids of this session stand for more than 2 objects, which is all that one session may keep; "
            "ask for fewer ids, or in another session");
  const auto other = session();
  EXPECT_EQ(get(*other, "2").id, "2");
  put(*other, recipe("3", ops));
}

TEST_F(Recipes, AreMadeOfACountedNumberOfOps) {
  info_.recipe_limits.ops = 10;
  const auto peer = session();
  const auto ops = chain(11);
  put_ops(*peer, ops);
  EXPECT_TRUE(refusal(*peer, recipe("11", ops))
                  .starts_with("no_space: the ids of this session stand for more than 10 different steps"));
  put(*peer, recipe("10", chain(10)));
  put(*peer, recipe("5", chain(5)));
  EXPECT_TRUE(refusal(*peer, recipe("11", ops)).starts_with("no_space: "));
  EXPECT_EQ(get(*session(), "10").id, "10");
}

TEST_F(Recipes, TakeACountedNumberOfBytes) {
  const auto ops = chain(3, std::string(1000, 'x'));
  const auto kept = recipe("id", ops);
  info_.recipe_limits.bytes = encoded_size(ops) + cbor::pack(kept).size();
  const auto peer = session();
  put_ops(*peer, ops);
  EXPECT_TRUE(refusal(*peer, recipe("id", ops, "a body that is longer"))
                  .starts_with("no_space: the ids of this session stand for more than " +
                               std::to_string(info_.recipe_limits.bytes) + " bytes"));
  EXPECT_FALSE(store_.value("recipe", "id"));
  put(*peer, kept);
  EXPECT_EQ(get(*session(), "id").body, "body") << "what could be put can be loaded";
  EXPECT_TRUE(refusal(*peer, recipe("2", ops)).starts_with("no_space: "));
}

TEST_F(Recipes, HaveALimitEach) {
  info_.recipe_limits.recipe_bytes = 100;
  const auto peer = session();
  const auto ops = chain(2, std::string(1000, 'x'));  // which does not count here
  put_ops(*peer, ops);
  put(*peer, recipe("small", ops));
  EXPECT_EQ(refusal(*peer, recipe("id", ops, std::string(100, 'x'))),
            "invalid_argument: an object of 143 bytes is over the limit of 100 for one with an id; put large values in "
            "files");
}

TEST_F(Recipes, ThatCouldNotBeKeptMayBeTriedAgain) {
  const auto ops = chain(5);
  info_.recipe_limits.ops = ops.size();
  const auto peer = session();
  put_ops(*peer, ops);
  for (const std::size_t kept : {0U, 3U, 5U}) {
    store_.refuse_values(kept);
    EXPECT_EQ(refusal(*peer, recipe("id", ops)), "no_space: the test's store is full");
  }
  store_.refuse_values(std::nullopt);
  put(*peer, recipe("id", ops));
  EXPECT_EQ(get(*session(), "id").id, "id");
}

TEST_F(Recipes, ThatArePutAtOnceCountWhatTheyShareOnce) {
  const auto ops = chain(20);
  info_.recipe_limits.ops = ops.size();
  const auto peer = session();
  put_ops(*peer, ops);
  TaskGroup puts(loop_);
  for (const std::size_t length : {20U, 20U, 10U, 19U})
    puts.spawn(put_later(*peer, recipe(std::to_string(puts.running()), chain(length))));
  run(puts.join());
  const auto other = session();
  for (const char* id : {"0", "1", "2", "3"}) EXPECT_EQ(get(*other, id).id, id);
}

// A callback of more than 10 ms ends a program with the watchdog.
TEST_F(Recipes, OfManyOpsHoldTheControlThreadForNoLongTime) {
  const auto ops = chain(20'000);
  const auto peer = session();
  put_ops(*peer, ops);
  put(*peer, recipe("id", ops));
  EXPECT_TRUE(store_.value("op", std::string(dag::digest(ops.front()).raw())));
}

}  // namespace
}  // namespace dagger::runner
