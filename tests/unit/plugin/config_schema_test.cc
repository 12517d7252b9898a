#include "core/plugin/config_schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/plugin/nearest_name.h"

namespace dagger::plugin {
namespace {

using nlohmann::json;

std::string text(const std::vector<SettingsProblem>& problems) {
  std::string all;
  for (const auto& p : problems) all += (all.empty() ? "" : "\n") + p.pointer + ": " + p.message;
  return all;
}

std::string check(const char* schema, const char* settings) {
  const auto parsed = json::parse(schema);
  EXPECT_EQ(text(check_schema(parsed)), "");
  return text(check_settings(parsed, json::parse(settings)));
}

constexpr const char* registries = R"({"type": "object", "properties": {
  "registries": {"type": "object", "description": "by host", "additionalProperties": {"type": "object", "properties": {
      "mirrors": {"type": "array", "items": {"type": "string"}, "description": "asked first"},
      "plain_http": {"type": "boolean", "description": "no TLS"}}}},
  "downloads": {"type": "integer", "minimum": 1, "maximum": 64, "description": "at once"},
  "mode": {"enum": ["a", "b"], "type": "string", "description": "how"},
  "path": {"type": "string", "pattern": "^/", "minLength": 2, "description": "where"}}})";

TEST(ConfigSchema, AcceptsWhatFits) {
  EXPECT_EQ(check(registries, "{}"), "");
  EXPECT_EQ(
      check(
          registries,
          R"({"registries": {"a:5000": {"mirrors": ["x"], "plain_http": true}}, "downloads": 64, "mode": "b", "path": "/x"})"),
      "");
}

TEST(ConfigSchema, NamesThePointerOfEveryProblem) {
  EXPECT_EQ(
      check(
          registries,
          R"({"downloads": 0, "mode": "c", "path": "x", "registries": {"a/b": {"mirror": [], "plain_http": "yes"}}})"),
      "/downloads: the value must be at least 1\n"
      "/mode: must be one of [\"a\",\"b\"], found \"c\"\n"
      "/path: the length must be at least 2\n"
      "/path: does not match the pattern ^/, found \"x\"\n"
      "/registries/a~1b/mirror: unknown key \"mirror\"; did you mean \"mirrors\"? known keys: mirrors, plain_http\n"
      "/registries/a~1b/plain_http: expected boolean, found string");
}

TEST(ConfigSchema, TellsIntegersFromNumbers) {
  constexpr const char* schema =
      R"({"type": "object", "properties": {"n": {"type": "number", "description": "n"}, "i": {"type": "integer", "description": "i"}}})";
  EXPECT_EQ(check(schema, R"({"n": 1, "i": 1})"), "");
  EXPECT_EQ(check(schema, R"({"n": 1.5, "i": 1.5})"), "/i: expected integer, found number");
}

TEST(ConfigSchema, WantsRequiredKeys) {
  EXPECT_EQ(
      check(
          R"({"type": "object", "required": ["path"], "properties": {"path": {"type": "string", "description": "p"}}})",
          "{}"),
      ": key \"path\" is required");
}

TEST(ConfigSchema, AllowsOtherKeysOnlyWhereTheSchemaSaysSo) {
  EXPECT_EQ(check(R"({"type": "object"})", R"({"a": 1})"), "/a: unknown key \"a\"; no keys are known here");
  EXPECT_EQ(check(R"({"type": "object", "additionalProperties": true})", R"({"a": 1})"), "");
}

TEST(ConfigSchema, ReportsABoundedNumberOfProblems) {
  json many = json::object();
  for (int i = 0; i < 1000; ++i) many[std::to_string(i)] = i;
  EXPECT_EQ(check_settings(json::parse(R"({"type": "object"})"), many).size(), 20U);
}

TEST(ConfigSchema, RefusesSchemasThatPromiseMoreThanIsChecked) {
  const auto problems = [](const char* schema) { return text(check_schema(json::parse(schema))); };
  EXPECT_EQ(problems(R"({"type": "object", "oneOf": []})"), "/oneOf: is not a supported keyword");
  EXPECT_EQ(problems(R"({"type": "object", "properties": {"a": {"type": "string"}}})"),
            "/properties/a: every property needs a description");
  EXPECT_EQ(problems(R"({"type": "text"})"),
            "/type: must be one of object, array, string, boolean, integer, number, null");
  EXPECT_EQ(problems(R"({"type": "string"})"), "/type: settings are an object");
  EXPECT_EQ(
      problems(R"({"type": "object", "properties": {"a": {"type": "string", "pattern": "(", "description": "x"}}})"),
      "/properties/a/pattern: must be a regular expression");
  EXPECT_EQ(problems(R"({"type": "object", "description": 3})"), "/description: must be a text");
  EXPECT_EQ(problems("[]"), ": a schema must be an object");
}

TEST(ConfigSchema, BoundsTheDepthOfASchema) {
  json deep = {{"type", "object"}};
  for (int i = 0; i < 100; ++i) deep = {{"type", "array"}, {"items", deep}};
  EXPECT_NE(text(check_schema(deep)).find("is nested deeper than"), std::string::npos);
}

TEST(ConfigSchema, DescribesEverySettingForPeople) {
  const auto schema = json::parse(R"({"type": "object", "required": ["size"], "properties": {
    "mode": {"enum": ["auto", "new"], "default": "auto", "description": "how"},
    "size": {"type": "integer", "minimum": 1, "maximum": 64, "description": "how much"},
    "hosts": {"type": "object", "description": "special ones", "additionalProperties": {"type": "object", "properties": {
      "ca": {"type": "string", "pattern": "^/", "description": "a file"}}}},
    "list": {"type": "array", "description": "some", "items": {"type": "object", "properties": {
      "name": {"type": "string", "minLength": 1, "description": "what"}}}}}})");
  std::string all;
  for (const auto& s : describe_settings(schema))
    all += s.name + "|" + s.type + "|" + s.initial + "|" + s.description + (s.required ? "|required\n" : "\n");
  EXPECT_EQ(all,
            "hosts|table||special ones\n"
            "hosts.*.ca|string, like ^/||a file\n"
            "list|array of table||some\n"
            "list[].name|string, 1 or more characters||what\n"
            "mode|one of auto, new|\"auto\"|how\n"
            "size|integer, 1 to 64||how much|required\n");
}

TEST(NearestName, FindsTypingMistakesOnly) {
  const std::vector<std::string> known = {"state_dir", "plugin_dirs", "log"};
  EXPECT_EQ(nearest_name("stat_dir", known), "state_dir");
  EXPECT_EQ(nearest_name("lgo", known), "log");  // letters exchanged: one mistake
  EXPECT_EQ(nearest_name("lug", known), "log");
  EXPECT_EQ(nearest_name("something", known), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), known), "");
}

}  // namespace
}  // namespace dagger::plugin
