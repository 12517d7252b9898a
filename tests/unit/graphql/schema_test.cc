#include "core/graphql/schema.h"

#include <gtest/gtest.h>

#include "core/graphql/prepare.h"

namespace dagger::graphql {
namespace {

constexpr const char* sdl = R"(
type Query {
  directory(id: DirectoryID): Directory!
  old: Old! @until(version: "0.6.0")
  node(id: ID!): Node @since(version: "0.21.1")
}
interface Node @since(version: "0.21.1") { id: ID! }
type Directory implements Node {
  id: DirectoryID! @until(version: "0.21.1")
  id: ID! @since(version: "0.21.1")
  glob(pattern: String!): [String!]! @since(version: "0.9.1")
  export(path: String!): Boolean! @until(version: "0.12.0")
  export(path: String!): String! @since(version: "0.12.0")
  withDirectory(directory: ID! @until(version: "0.19.0"), source: ID! @since(version: "0.19.0")): Directory!
  write(mode: Int @until(version: "0.9.7"), mode: Int = 420 @since(version: "0.9.7"), kind: Kind = OLD): Directory!
}
type Old { only: OlderStill! }
type OlderStill { x: Int @until(version: "0.5.0") }
scalar DirectoryID @until(version: "0.21.1")
enum Kind { OLD NEW @since(version: "0.18.0") }
extend type Directory @since(version: "0.20.0") { added: Int }
)";

std::shared_ptr<const SchemaView> at(Schema& schema, const char* version) {
  return schema.view(Version::parse(version));
}

TEST(Version, ComparesThreeNumbers) {
  EXPECT_EQ(Version::parse("v0.12"), (Version{0, 12, 0}));
  EXPECT_EQ(Version::parse("0.21.1-rc.2+x"), (Version{0, 21, 1}));
  EXPECT_EQ(Version::parse("1.0.0b14"), (Version{1, 0, 0}));
  EXPECT_LT(*Version::parse("0.9.7"), *Version::parse("0.10.0"));
  for (const char* text : {"", "n/a", "1", "0.9.", "0.9.7.1", "0.x.1"})
    EXPECT_EQ(Version::parse(text), std::nullopt) << text;
}

TEST(Schema, ShowsAFieldFromItsFirstVersionOn) {
  Schema schema = Schema::parse({sdl});
  EXPECT_EQ(at(schema, "0.9.0")->find_type("Directory")->find_field("glob"), nullptr);
  EXPECT_NE(at(schema, "0.9.1")->find_type("Directory")->find_field("glob"), nullptr);
  EXPECT_EQ(at(schema, "0.19.9")->find_type("Directory")->find_field("added"), nullptr);
  EXPECT_NE(schema.view()->find_type("Directory")->find_field("added"), nullptr);
}

TEST(Schema, GivesAFieldTheTypeOfItsVersion) {
  Schema schema = Schema::parse({sdl});
  const auto type = [&](const std::shared_ptr<const SchemaView>& view) {
    return view->find_type("Directory")->find_field("export")->type.text();
  };
  EXPECT_EQ(type(at(schema, "0.11.9")), "Boolean!");
  EXPECT_EQ(type(at(schema, "0.12.0")), "String!");
  EXPECT_EQ(type(schema.view()), "String!");
}

TEST(Schema, RequiresNoMarkedArgumentInTheSuperset) {
  Schema schema = Schema::parse({sdl});
  EXPECT_NO_THROW(prepare(schema.view(), "{ directory { withDirectory(directory: \"x\") { id } } }"));
  EXPECT_NO_THROW(prepare(schema.view(), "{ directory { withDirectory(source: \"x\") { id } } }"));
  EXPECT_THROW(prepare(at(schema, "0.18.0"), "{ directory { withDirectory { id } } }"), RequestError);
  EXPECT_THROW(prepare(at(schema, "0.19.0"), "{ directory { withDirectory(directory: \"x\") { id } } }"), RequestError);
}

TEST(Schema, GivesAnArgumentTheDefaultOfItsVersion) {
  Schema schema = Schema::parse({sdl});
  const auto mode = [&](const char* version) {
    return at(schema, version)->find_type("Directory")->find_field("write")->find_arg("mode");
  };
  EXPECT_FALSE(mode("0.9.6")->has_default());
  EXPECT_EQ(to_json(mode("0.9.7")->default_value), "420");
}

TEST(Schema, NamesInAViewOnlyWhatIsInIt) {
  Schema schema = Schema::parse({sdl});
  const auto old = at(schema, "0.9.3");
  EXPECT_EQ(old->find_type("Node"), nullptr);
  EXPECT_TRUE(old->find_type("Directory")->interfaces.empty());
  EXPECT_EQ(old->find_type("Old"), nullptr);         // nothing leads there
  EXPECT_EQ(old->find_type("OlderStill"), nullptr);  // empty from 0.5.0 on
  EXPECT_EQ(at(schema, "0.5.5")->root(ast::Definition::Kind::query)->find_field("old"), nullptr);
  EXPECT_NE(at(schema, "0.4.0")->find_type("OlderStill"), nullptr);
  const auto fresh = at(schema, "0.21.1");
  EXPECT_EQ(fresh->find_type("DirectoryID"), nullptr);
  EXPECT_EQ(fresh->root(ast::Definition::Kind::query)->find_field("directory")->find_arg("id"), nullptr);
  EXPECT_TRUE(fresh->find_type("Node")->can_be("Directory"));
  EXPECT_EQ(old->find_type("Kind")->find_enum_value("NEW"), nullptr);
}

TEST(Schema, SharesViewsBetweenVersionsThatSeeTheSame) {
  Schema schema = Schema::parse({sdl});
  EXPECT_EQ(at(schema, "0.9.1"), at(schema, "0.9.6"));
  EXPECT_NE(at(schema, "0.9.6"), at(schema, "0.9.7"));
  EXPECT_TRUE(schema.problems().empty());
}

std::string refusal(const std::string& text) {
  try {
    Schema::parse({text});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Schema, SaysWhatIsContradictory) {
  EXPECT_NE(refusal("type Query { a: Int a: Int }").find("Query.a is declared twice for the same versions"),
            std::string::npos);
  EXPECT_NE(refusal("type Query { a: Nope }").find("Query.a has type Nope, which is not defined"), std::string::npos);
  EXPECT_NE(refusal("type Query { a: Int @nope }").find("@nope, which is not defined"), std::string::npos);
  EXPECT_NE(refusal("type Query { a: Int @since(version: \"soon\") }").find("needs a version"), std::string::npos);
  EXPECT_NE(refusal("type Query { a: I } input I { x: Int }").find("cannot have type I"), std::string::npos);
  EXPECT_NE(refusal("type Query { a: Int } type Query { b: Int }").find("defined twice"), std::string::npos);
  EXPECT_NE(refusal("extend type X { a: Int }").find("extended but not defined"), std::string::npos);
  EXPECT_NE(refusal("type Query {").find("Syntax Error"), std::string::npos);
  EXPECT_NE(refusal("type A { a: Int }").find("there is no type Query"), std::string::npos);
}

TEST(Schema, FindsWhatIsWrongInOneViewOnly) {
  Schema schema = Schema::parse(
      {"interface N { x(a: Int): Int } type Query implements N { x(a: Int @since(version: \"0.9.0\")): Int }"});
  EXPECT_EQ(schema.problems(), std::vector<std::string>{"Query.x must take a: Int, as in N"});
  Schema defaults = Schema::parse({"type Query { x(a: Int = \"one\"): Int }"});
  EXPECT_EQ(defaults.problems().size(), 1u);
}

}  // namespace
}  // namespace dagger::graphql
