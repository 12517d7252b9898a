#include "core/graphql/parser.h"

#include <gtest/gtest.h>

#include "core/graphql/error.h"
#include "core/graphql/value.h"

namespace dagger::graphql {
namespace {

std::string string_argument(const std::string& literal) {
  const auto document = parse("{ f(a: " + literal + ") }");
  return document->arguments.at(0).value.text;
}

std::string refusal(const std::string& text, const Limits& limits = {}) {
  try {
    parse(text, limits);
  } catch (const RequestError& e) {
    return e.what();
  }
  return "";
}

TEST(Parser, DecodesTheEscapesOfStrings) {
  EXPECT_EQ(string_argument(R"("a\n\t\"\\\/\u00e9\u{1F600}\uD83D\uDE00")"),
            "a\n\t\"\\/\xC3\xA9\xF0\x9F\x98\x80\xF0\x9F\x98\x80");
}

TEST(Parser, TakesTheEscapesOfOldGoSdks) {
  EXPECT_EQ(string_argument(R"("\x00\a\v\U0001F600\xff")"), std::string("\0\a\v\xF0\x9F\x98\x80\xC3\xBF", 9));
}

TEST(Parser, RefusesEscapesThatAreNoText) {
  for (const char* bad : {R"("\uD800")", R"("\u{110000}")", R"("\u{}")", R"("\u12")", R"("\q")", R"("\xg0")", R"("\)"})
    EXPECT_NE(refusal(std::string("{ f(a: ") + bad + ") }").find("Syntax Error: "), std::string::npos) << bad;
}

TEST(Parser, RemovesTheIndentationOfBlockStrings) {
  EXPECT_EQ(string_argument("\"\"\"\n    one\n      two\n\n    \\\"\"\"three\n  \"\"\""), "one\n  two\n\n\"\"\"three");
  EXPECT_EQ(string_argument("\"\"\"\"\"\""), "");
}

TEST(Parser, IgnoresCommentsCommasAndByteOrderMarks) {
  const auto document = parse("\xEF\xBB\xBF{ a, # {\n b(x: [1,,2]) \r\n c }");
  EXPECT_EQ(document->selections.size(), 3u);
  EXPECT_EQ(document->selections[2].at, (Location{3, 2}));
}

TEST(Parser, CountsColumnsInUtf16Units) {
  const auto document = parse("{ a(x: \"\xF0\x9F\x98\x80\") b }");
  EXPECT_EQ(document->selections[1].at, (Location{1, 14}));
}

TEST(Parser, StopsAtItsLimits) {
  EXPECT_NE(refusal("{ a b c }", {.tokens = 4}).find("more than 4 tokens"), std::string::npos);
  EXPECT_NE(refusal("{ a }", {.document_bytes = 4}).find("more than 4 bytes"), std::string::npos);
  EXPECT_NE(refusal("{ a { b } }", {.selection_depth = 1}).find("deeper than 1"), std::string::npos);
  EXPECT_NE(refusal("{ f(a: " + std::string(100'000, '[') + ") }").find("nested deeper"), std::string::npos);
  EXPECT_NE(refusal("query ($a: " + std::string(100'000, '[')).find("more than 30 lists"), std::string::npos);
  EXPECT_NE(refusal("{a} query A {a} query B {a}", {.operations = 2}).find("more than 2 operations"),
            std::string::npos);
}

TEST(Parser, ReadsTypeDefinitions) {
  const auto document = parse(R"(
"""The schema.""" schema @x(a: 1) { query: Q mutation: M }
"a type" type T implements & A & B @d { "a field" f("an argument" a: [Int!]! = [1] @d, b: In = {x: 1}): [[T!]]! @d }
interface A implements B { x: Int }
union U @d = | T | Q
enum E { "value" A @d B }
input In { x: Int = 1 @d }
scalar S @specifiedBy(url: "http://x")
directive @d(a: Int) repeatable on | FIELD | OBJECT
extend type T { g: Int } extend enum E { C } extend union U = M extend input In { y: Int } extend scalar S @d
)");
  ASSERT_EQ(document->definitions.size(), 13u);
  const auto& type = document->definitions[1];
  EXPECT_EQ(type.description, "a type");
  EXPECT_EQ(type.names.size(), 2u);
  EXPECT_EQ(type.fields[0].type.text(), "[[T!]]!");
  EXPECT_TRUE(document->definitions[7].repeatable);
  EXPECT_TRUE(document->definitions[8].extension);
}

TEST(Value, IsWrittenAsCompactJson) {
  const Value value =
      Value::Map{{"b", 9007199254740993}, {"a", Value::List{1.5, nullptr, true}}, {"s", "\x01\"\xff\xC3\xA9"}};
  EXPECT_EQ(to_json(value), "{\"b\":9007199254740993,\"a\":[1.5,null,true],\"s\":\"\\u0001\\\"\xEF\xBF\xBD\xC3\xA9\"}");
  EXPECT_EQ(to_json(from_json_text("{\"n\":-9223372036854775808,\"e\":{},\"l\":[]}")),
            "{\"e\":{},\"l\":[],\"n\":-9223372036854775808}");
}

TEST(Value, RefusesJsonThatIsBrokenOrTooDeep) {
  EXPECT_THROW(from_json_text("{"), Error);
  EXPECT_THROW(from_json_text(std::string(100'000, '[')), Error);
}

TEST(Value, IsInspectedInBoundedSpace) {
  EXPECT_EQ(inspect(Value::Map{{"a", Value::List{1, "x"}}}), "{ a: [1, \"x\"] }");
  EXPECT_LT(inspect(Value::List(100'000, Value(std::string(1000, 'x')))).size(), 5000u);
}

TEST(Value, GivesAnObjectOnlyToWhoKnowsItsType) {
  const Object object("T", std::make_shared<const int>(3));
  EXPECT_EQ(object.as<int>(), 3);
  EXPECT_THROW(object.as<long>(), Error);
  EXPECT_THROW(Object("T").as<int>(), Error);
}

}  // namespace
}  // namespace dagger::graphql
