#include <gtest/gtest.h>

#include "core/graphql/execute.h"

namespace dagger::graphql {
namespace {

std::string answer(const std::string& sdl, const std::string& query, std::optional<Version> version = std::nullopt) {
  Schema schema = Schema::parse({sdl});
  const Resolvers resolvers;
  std::string text;
  Execution::start(prepare(schema.view(version), query), resolvers, {.root = Object("Query")},
                   [&](const Response& response) { text = response.to_json(); });
  return text;
}

TEST(Introspection, DescribesAType) {
  EXPECT_EQ(
      answer("type Query { \"the b\" b(y: [Int!]! = [1, 2], x: E = BIG): Query! a: Int @deprecated } enum E { BIG }",
             "{ __type(name: \"Query\") { kind name fields { name description args { name defaultValue type { kind "
             "ofType { kind ofType { kind ofType { name } } } } } } } }"),
      R"({"data":{"__type":{"kind":"OBJECT","name":"Query","fields":[{"name":"b","description":"the b","args":[)"
      R"({"name":"y","defaultValue":"[1, 2]","type":{"kind":"NON_NULL","ofType":{"kind":"LIST","ofType":{"kind":"NON_NULL","ofType":{"name":"Int"}}}}},)"
      R"({"name":"x","defaultValue":"BIG","type":{"kind":"ENUM","ofType":null}}]}]}}})");
  EXPECT_EQ(answer("type Query { a: Int }", "{ __type(name: \"Nope\") { name } }"), R"({"data":{"__type":null}})");
}

TEST(Introspection, ListsDeprecatedArgumentsEvenUnasked) {
  EXPECT_EQ(
      answer("type Query { a(id: ID @deprecated(reason: \"old\")): Int }",
             "{ __type(name: \"Query\") { fields { args { name isDeprecated deprecationReason } } } }"),
      R"({"data":{"__type":{"fields":[{"args":[{"name":"id","isDeprecated":true,"deprecationReason":"old"}]}]}}})");
}

TEST(Introspection, HidesTheHelperDirectives) {
  EXPECT_EQ(
      answer("directive @mine(a: Int) repeatable on FIELD type Query { a: Int @since(version: \"0.1.0\") }",
             "{ __schema { directives { name isRepeatable } } }"),
      R"({"data":{"__schema":{"directives":[{"name":"deprecated","isRepeatable":false},{"name":"include","isRepeatable":false},{"name":"mine","isRepeatable":true},{"name":"oneOf","isRepeatable":false},{"name":"skip","isRepeatable":false},{"name":"specifiedBy","isRepeatable":false}]}}})");
}

TEST(Introspection, KnowsWhatTheNewestClientsAsk) {
  EXPECT_EQ(
      answer(
          "type Query { a(i: I): S } input I @oneOf { x: Int y: Int } scalar S @specifiedBy(url: \"http://s\")",
          "{ i: __type(name: \"I\") { isOneOf inputFields(includeDeprecated: true) { name } } s: __type(name: \"S\") "
          "{ specifiedByURL isOneOf } __schema { description mutationType { name } directives { "
          "args(includeDeprecated: true) { name } } } }")
          .substr(0, 140),
      std::string(
          R"({"data":{"i":{"isOneOf":true,"inputFields":[{"name":"x"},{"name":"y"}]},"s":{"specifiedByURL":"http://s","isOneOf":null},"__schema":{"description":null,"mutationType":null,)")
          .substr(0, 140));
}

TEST(Introspection, ShowsTheViewOfTheVersion) {
  const std::string sdl = "type Query { a: Int b: Int @since(version: \"0.9.0\") }";
  const std::string query = "{ __type(name: \"Query\") { fields { name } } }";
  EXPECT_EQ(answer(sdl, query, Version{0, 8, 0}), R"({"data":{"__type":{"fields":[{"name":"a"}]}}})");
  EXPECT_EQ(answer(sdl, query, Version{0, 9, 0}), R"({"data":{"__type":{"fields":[{"name":"a"},{"name":"b"}]}}})");
}

}  // namespace
}  // namespace dagger::graphql
