#include "core/graphql/execute.h"

#include <gtest/gtest.h>

#include <deque>

#include "core/graphql/schema.h"

namespace dagger::graphql {
namespace {

constexpr const char* sdl = R"(
interface Node { id: ID! }
type Step implements Node { id: ID! next(n: Int = 1): Step! maybe: Step text: String! path: [[Int]!] kind: Kind }
type Box implements Node { id: ID! size: Int! }
enum Kind { BIG SMALL }
input In { a: Int! = 7, b: [String!] }
scalar Any
type Query {
  step: Step!
  later(name: String!): String!
  laterMaybe(name: String!): String
  nodes: [Node]!
  boxes: [Box!]
  echo(any: Any, in: In, ids: [ID!], kind: Kind, f: Float): Any
  fails: String
  failsHard: String!
  throws: Int
  wrong: Int
  node(id: ID!): Node
}
type Mutation { add(n: String!): String! }
)";

struct Number {
  int value;
};

class Execute : public ::testing::Test {
 protected:
  Execute() {
    const auto step = [](int n) { return Object("Step", std::make_shared<Number>(n)); };
    r_.value("Query", "step", [step](const ResolveCall&) { return step(0); });
    r_.value("Step", "next", [step](const ResolveCall& c) {
      return step(c.parent.as<Number>().value + static_cast<int>(*c.arg("n").as_int()));
    });
    r_.value("Step", "maybe", [](const ResolveCall&) { return Value(); });
    r_.value("Step", "id", [](const ResolveCall& c) { return Value(std::to_string(c.parent.as<Number>().value)); });
    r_.value("Step", "text", [](const ResolveCall& c) -> Value {
      if (c.parent.as<Number>().value == 13) throw Error(Code::not_found, "no step 13");
      return "step " + std::to_string(c.parent.as<Number>().value);
    });
    r_.value("Step", "path", [](const ResolveCall&) {
      Value::List outer;
      outer.emplace_back(Value::List{1, nullptr});
      return Value(std::move(outer));
    });
    r_.value("Step", "kind", [](const ResolveCall&) { return Value(Value::Enum{"BIG"}); });
    r_.value("Box", "id", [](const ResolveCall&) { return Value("box"); });
    r_.value("Box", "size", [](const ResolveCall& c) -> Value {
      const int v = c.parent.as<Number>().value;
      return v < 0 ? Value() : Value(v);
    });
    const auto waiting = [this](const ResolveCall& c, Completion done) {
      waiting_.emplace_back(*c.arg("name").as_string(), std::move(done));
    };
    r_.field("Query", "later", waiting);
    r_.field("Query", "laterMaybe", waiting);
    r_.field("Mutation", "add", [this](const ResolveCall& c, Completion done) {
      waiting_.emplace_back(*c.arg("n").as_string(), std::move(done));
    });
    const auto box = [](int n) { return Value(Object("Box", std::make_shared<Number>(n))); };
    r_.value("Query", "nodes", [=](const ResolveCall&) { return Value(Value::List{box(3), step(4), nullptr}); });
    r_.value("Query", "boxes", [=](const ResolveCall&) { return Value(Value::List{box(1), box(-1)}); });
    r_.value("Query", "echo", [](const ResolveCall& c) { return *c.args; });
    r_.value("Query", "fails", [](const ResolveCall&) -> Value {
      throw FieldError("it failed", Value::Map{{"_type", "EXEC_ERROR"}, {"exitCode", 3}});
    });
    r_.value("Query", "failsHard", [](const ResolveCall&) -> Value { throw FieldError("hard"); });
    r_.field("Query", "throws", [](const ResolveCall&, const Completion&) { throw std::runtime_error("oops"); });
    r_.value("Query", "wrong", [](const ResolveCall&) { return Value("text"); });
    r_.field("Query", "node", [this](const ResolveCall& c, Completion done) {
      selects_size_ = c.selects("size");
      done(Object("Box", std::make_shared<Number>(*c.arg("id").as_string() == "1" ? 1 : 2)));
    });
  }

  std::unique_ptr<Execution> start(const std::string& query, ExecuteOptions options = {}) {
    response_.clear();
    return Execution::start(prepare(schema_.view(), query), r_, std::move(options),
                            [this](const Response& response) { response_ = response.to_json(); });
  }
  std::string run(const std::string& query, ExecuteOptions options = {}) {
    const auto execution = start(query, std::move(options));
    return response_;
  }

  Schema schema_ = Schema::parse({sdl});
  Resolvers r_;
  std::deque<std::pair<std::string, Completion>> waiting_;
  std::string response_;
  bool selects_size_ = false;
};

TEST_F(Execute, FindsAResolverForEveryFieldAndAFieldForEveryResolver) {
  EXPECT_EQ(r_.check(schema_), std::vector<std::string>{});
  r_.value("Step", "gone", [](const ResolveCall&) { return Value(); });
  EXPECT_EQ(r_.check(schema_), std::vector<std::string>{"resolver Step.gone has no field in the schema"});
  EXPECT_NE(Resolvers().check(schema_).front().find("has no resolver"), std::string::npos);
}

TEST_F(Execute, AnswersInTheOrderOfTheQuery) {
  EXPECT_EQ(
      run("{ b: step { text id } a: step { __typename kind next(n: 5) { id } path } }"),
      R"({"data":{"b":{"text":"step 0","id":"0"},"a":{"__typename":"Step","kind":"BIG","next":{"id":"5"},"path":[[1,null]]}}})");
}

TEST_F(Execute, MergesSelectionsAndFragments) {
  EXPECT_EQ(run("{ step { id } ...F ... { step { n: next { id } } } } fragment F on Query { step { text } }"),
            R"({"data":{"step":{"id":"0","text":"step 0","n":{"id":"1"}}}})");
}

TEST_F(Execute, TellsObjectsOfAnInterfaceApart) {
  EXPECT_EQ(
      run("{ nodes { __typename id ... on Box { size } ... on Step { text } } }"),
      R"({"data":{"nodes":[{"__typename":"Box","id":"box","size":3},{"__typename":"Step","id":"4","text":"step 4"},null]}})");
  EXPECT_EQ(run("{ node(id: 1) { ... on Box { size } } }"), R"({"data":{"node":{"size":1}}})");
  EXPECT_TRUE(selects_size_);
}

TEST_F(Execute, FollowsSkipAndInclude) {
  EXPECT_EQ(run("query ($y: Boolean = true) { step { id @skip(if: $y) text @include(if: $y) ... @include(if: false) { "
                "kind } } }"),
            R"({"data":{"step":{"text":"step 0"}}})");
}

TEST_F(Execute, CoercesArgumentsAndVariables) {
  EXPECT_EQ(
      run("query ($k: Kind, $x: [ID!] = [1], $o: Any, $absent: Any) { echo(kind: $k, ids: $x, in: {b: \"one\"}, f: 2, "
          "any: {o: $o, a: $absent}) }",
          {.variables = from_json_text(R"({"k":"SMALL","o":{"deep":[1,2.5]}})")}),
      R"({"data":{"echo":{"any":{"o":{"deep":[1,2.5]},"a":null},"in":{"a":7,"b":["one"]},"ids":["1"],"kind":"SMALL","f":2}}})");
  EXPECT_EQ(run("query ($k: Kind) { echo(kind: $k) }", {.variables = R"({"k":"BIG"})"}),
            R"({"data":{"echo":{"kind":"BIG"}}})");
  EXPECT_EQ(run("query ($k: Kind) { echo(kind: $k) }"), R"({"data":{"echo":{}}})");
  EXPECT_EQ(run("query ($k: Kind) { echo(kind: $k) }", {.variables = R"({"k":null})"}),
            R"({"data":{"echo":{"kind":null}}})");
}

TEST_F(Execute, SaysWhichVariableIsWrong) {
  const std::string query = "query Q($i: In!, $n: String!) { echo(in: $i) laterMaybe(name: $n) }";
  EXPECT_EQ(
      run(query, {.variables = R"({"i":{"a":"x","c":1}})"}),
      R"({"errors":[{"message":"Variable \"$i\" got invalid value \"x\" at \"i.a\"; Int cannot represent non-integer value: \"x\"","locations":[{"line":1,"column":9}]},)"
      R"({"message":"Variable \"$i\" got invalid value { a: \"x\", c: 1 }; Field \"c\" is not defined by type \"In\".","locations":[{"line":1,"column":9}]},)"
      R"({"message":"Variable \"$n\" of required type \"String!\" was not provided.","locations":[{"line":1,"column":18}]}]})");
}

TEST_F(Execute, ChoosesTheOperationByName) {
  EXPECT_EQ(run("query A { step { id } }", {.operation_name = ""}), R"({"data":{"step":{"id":"0"}}})");
  EXPECT_EQ(run("query A { a: step { id } } query B { b: step { id } }", {.operation_name = "B"}),
            R"({"data":{"b":{"id":"0"}}})");
  EXPECT_NE(run("query A { a: step { id } } query B { b: step { id } }").find("Must provide operation name"),
            std::string::npos);
  EXPECT_NE(run("query A { step { id } }", {.operation_name = "C"}).find("Unknown operation named \\\"C\\\"."),
            std::string::npos);
}

TEST_F(Execute, ReportsAnErrorWithPathLocationAndExtensions) {
  EXPECT_EQ(
      run("{ step { id } fails }"),
      R"({"data":{"step":{"id":"0"},"fails":null},"errors":[{"message":"it failed","locations":[{"line":1,"column":15}],"path":["fails"],"extensions":{"_type":"EXEC_ERROR","exitCode":3}}]})");
  EXPECT_NE(run("{ throws }").find("internal error: oops"), std::string::npos);
  EXPECT_NE(run("{ wrong }").find("Int cannot represent value: \\\"text\\\""), std::string::npos);
}

TEST_F(Execute, CarriesANullUpToWhereItIsAllowed) {
  EXPECT_EQ(
      run("{ boxes { size } }"),
      R"({"data":{"boxes":null},"errors":[{"message":"Cannot return null for non-nullable field \"size\".","locations":[{"line":1,"column":11}],"path":["boxes",1,"size"]}]})");
  EXPECT_EQ(
      run("{ step { next(n: 13) { text } } }"),
      R"({"data":null,"errors":[{"message":"no step 13","locations":[{"line":1,"column":24}],"path":["step","next","text"]}]})");
}

TEST_F(Execute, StartsAllSiblingsBeforeItWaits) {
  const auto execution = start("{ a: later(name: \"1\") step { id } b: later(name: \"2\") }");
  ASSERT_EQ(waiting_.size(), 2u);
  waiting_[1].second(Value("two"));
  EXPECT_EQ(response_, "");
  waiting_[0].second(Value("one"));
  EXPECT_EQ(response_, R"({"data":{"a":"one","step":{"id":"0"},"b":"two"}})");
}

TEST_F(Execute, RunsTheFieldsOfAMutationOneAfterTheOther) {
  const auto execution = start("mutation { a: add(n: \"1\") b: add(n: \"2\") }");
  ASSERT_EQ(waiting_.size(), 1u);
  waiting_[0].second(Value("x"));
  ASSERT_EQ(waiting_.size(), 2u);
  waiting_[1].second(Value("y"));
  EXPECT_EQ(response_, R"({"data":{"a":"x","b":"y"}})");
}

TEST_F(Execute, FailsAFieldWhoseResolverForgetsIt) {
  const auto execution = start("{ laterMaybe(name: \"x\") }");
  waiting_.clear();
  EXPECT_NE(response_.find("the resolver gave no answer"), std::string::npos);
}

TEST_F(Execute, AnswersOnceWhenANullReachesTheRoot) {
  const auto execution = start("{ a: later(name: \"1\") failsHard b: step { id } }");
  EXPECT_EQ(response_.substr(0, 12), R"({"data":null)");
  response_ = "unchanged";
  waiting_[0].second(Value("late"));
  EXPECT_EQ(response_, "unchanged");
}

TEST_F(Execute, ForgetsEverythingWhenCancelled) {
  auto execution = start("{ a: later(name: \"1\") }");
  EXPECT_FALSE(waiting_[0].second.abandoned());
  execution.reset();
  EXPECT_TRUE(waiting_[0].second.abandoned());
  waiting_[0].second(Value("late"));
  EXPECT_EQ(response_, "");
}

TEST_F(Execute, UsesNoStackForLongChains) {
  constexpr int depth = 5000;
  std::string query = "{ step {";
  for (int i = 0; i < depth; ++i) query += " next {";
  query += " id" + std::string(depth + 2, '}');
  const std::string answer = run(query);
  EXPECT_NE(answer.find("{\"id\":\"5000\"}"), std::string::npos);
}

TEST_F(Execute, HandsTheRestToTheLoopAfterASlice) {
  std::deque<std::function<void()>> loop;
  const auto execution = start("{ a: step { id } b: step { id } c: step { id } }",
                               {.slice = 4, .defer = [&](std::function<void()> f) { loop.push_back(std::move(f)); }});
  int turns = 0;
  for (; !loop.empty(); ++turns) {
    const auto next = std::move(loop.front());
    loop.pop_front();
    next();
  }
  EXPECT_GE(turns, 2);
  EXPECT_EQ(response_, R"({"data":{"a":{"id":"0"},"b":{"id":"0"},"c":{"id":"0"}}})");
}

TEST_F(Execute, BoundsTheSizeOfAnAnswer) {
  std::string query = "{ step { ...F0 } }";
  for (int i = 0; i < 30; ++i) {
    const std::string next = "{ ...F" + std::to_string(i + 1) + " }";
    query += " fragment F" + std::to_string(i) + " on Step { a: next " + next + " b: next " + next + " }";
  }
  Limits limits;
  limits.result_nodes = 10'000;
  const auto execution = Execution::start(prepare(schema_.view(), query + " fragment F30 on Step { id }", limits), r_,
                                          {}, [this](const Response& response) { response_ = response.to_json(); });
  EXPECT_NE(response_.find("more than 10000"), std::string::npos);
}

}  // namespace
}  // namespace dagger::graphql
