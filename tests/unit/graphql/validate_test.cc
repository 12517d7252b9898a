#include "core/graphql/validate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/graphql/parser.h"
#include "core/graphql/prepare.h"
#include "core/graphql/schema.h"
#include "tests/unit/graphql/test_schema.h"
#include "tests/unit/graphql/validation_cases.h"

namespace dagger::graphql {
namespace {

class Validate : public ::testing::Test {
 protected:
  std::vector<std::string> errors_of(const std::string& query, const Limits& limits = {}) {
    std::vector<std::string> lines;
    try {
      prepare(schema_.view(), query, limits);
    } catch (const RequestError& e) {
      for (const auto& error : e.errors()) {
        std::string line;
        for (const auto& at : error.locations)
          line += (line.empty() ? "" : " ") + std::to_string(at.line) + ":" + std::to_string(at.column);
        lines.push_back(line + " " + error.message);
      }
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  Schema schema_ = Schema::parse({std::string(test_schema_sdl)});
};

TEST_F(Validate, SaysWhatTheReferenceImplementationSays) {
  Limits strict;
  strict.quoted_enum_values = false;
  for (const auto& [query, errors] : validation_cases) {
    std::vector<std::string> expected(errors.begin(), errors.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(errors_of(std::string(query), strict), expected) << query;
  }
}

TEST_F(Validate, WantsNonNullVariablesInOneOfInputs) {  // graphql-js misses it below a non-null argument
  EXPECT_EQ(errors_of("query ($a: Int) { choose(choice: {a: $a}) }").size(), 1u);
}

TEST_F(Validate, LetsScalarsNamedIdStandForEachOther) {
  Schema schema = Schema::parse({"type Query { dog(id: ID!): Int cat(id: CatID): Int } scalar CatID scalar DogID"});
  EXPECT_NO_THROW(prepare(schema.view(), "query ($d: DogID!, $i: ID!) { dog(id: $d) cat(id: $i) }"));
}

TEST_F(Validate, TakesAQuotedEnumValueOnlyWhereItIsAsked) {
  EXPECT_TRUE(errors_of("{ dog { does(command: \"SIT\") } }").empty());
  EXPECT_FALSE(errors_of("{ dog { does(command: \"JUMP\") } }").empty());
  Limits strict;
  strict.quoted_enum_values = false;
  EXPECT_FALSE(errors_of("{ dog { does(command: \"SIT\") } }", strict).empty());
}

TEST_F(Validate, TakesWholeNumbersOf64Bits) {
  EXPECT_TRUE(errors_of("{ int(value: 9223372036854775807) }").empty());
  EXPECT_FALSE(errors_of("{ int(value: 9223372036854775808) }").empty());
}

TEST_F(Validate, RefusesQueriesThatAreTooDeep) {
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "{ dog ";
  EXPECT_EQ(errors_of(deep).size(), 1u);
  EXPECT_NE(errors_of(deep).front().find("deeper than 8000"), std::string::npos);
}

TEST_F(Validate, CountsDepthThroughFragments) {
  Limits limits;
  limits.selection_depth = 6;
  const std::string query =
      "{ dog { ...A } } fragment A on Dog { owner { dog { ...B } } } fragment B on Dog { owner { age } }";
  ASSERT_EQ(errors_of(query, limits).size(), 1u);
  EXPECT_EQ(errors_of(query, limits).front(), "1:1 Document nests selections deeper than 6 levels.");
  limits.selection_depth = 8;
  EXPECT_TRUE(errors_of(query, limits).empty());
}

TEST_F(Validate, ReportsAHundredErrorsAndStops) {
  std::string query = "{";
  for (int i = 0; i < 5000; ++i) query += " nope" + std::to_string(i);
  EXPECT_EQ(errors_of(query + "}").size(), 101u);
}

TEST_F(Validate, ChecksManyFieldsOfOneNameInLinearTime) {
  std::string query = "{";
  for (int i = 0; i < 20'000; ++i) query += " int";
  EXPECT_TRUE(errors_of(query + "}").empty());
}

TEST_F(Validate, MergesFragmentsThatMultiplyOnlyOnce) {
  std::string query = "{ dog { ...F0 } }";
  for (int i = 0; i < 40; ++i) {
    const std::string next = "...F" + std::to_string(i + 1);
    query += " fragment F" + std::to_string(i) + " on Dog { a: owner { dog { " + next + " } } b: owner { dog { " +
             next + " } } }";
  }
  query += " fragment F40 on Dog { barks }";
  EXPECT_TRUE(errors_of(query).empty());  // what was merged once is not merged again
}

}  // namespace
}  // namespace dagger::graphql
