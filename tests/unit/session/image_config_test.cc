#include "core/session/image_config.h"

#include <gtest/gtest.h>

namespace dagger::session {
namespace {

TEST(ImageConfig, TakesEnvironmentInTheImagesOrder) {
  const auto image = parse_image_config(R"({"os":"linux","architecture":"arm","variant":"v7",
      "config":{"Env":["B=2","A=1=1","EMPTY="],"ExposedPorts":{"80/tcp":{}},"Labels":{"x":"y"},"Volumes":null}})");
  EXPECT_EQ(image.platform, "linux/arm/v7");
  EXPECT_EQ(image.config.env, (Pairs{{"B", "2"}, {"A", "1=1"}, {"EMPTY", ""}}));
  EXPECT_EQ(image.config.exposed_ports, (std::vector<std::string>{"80/tcp"}));
  EXPECT_EQ(image.config.labels, (Pairs{{"x", "y"}}));
}

TEST(ImageConfig, LeavesVariablesWithoutANameOut) {
  const auto image = parse_image_config(R"({"config":{"Env":["=1","","A=1","ALONE"]}})");
  EXPECT_EQ(image.config.env, (Pairs{{"A", "1"}, {"ALONE", ""}}));
}

TEST(ImageConfig, RefusesWhatIsMalformed) {
  for (const char* text : {"", "[]", "{\"config\":3}", "{\"config\":{\"Env\":\"A=1\"}}", "{\"config\":{\"Cmd\":[1]}}"})
    EXPECT_THROW(parse_image_config(text), Error) << text;
}

TEST(ImageConfig, AnImageAddsItsVariablesAndReplacesTheCommand) {
  ImageConfig container{
      .env = {{"A", "mine"}, {"ONLY", "mine"}}, .exposed_ports = {"1/tcp"}, .entrypoint = {"old"}, .user = "old"};
  const ImageConfig image{.env = {{"A", "image"}, {"PATH", "/bin"}},
                          .exposed_ports = {"1/tcp", "2/udp"},
                          .default_args = {"sh"},
                          .workdir = "/w"};
  const auto merged = merge_image(container, image);
  EXPECT_EQ(merged.env, (Pairs{{"A", "image"}, {"ONLY", "mine"}, {"PATH", "/bin"}}));
  EXPECT_EQ(merged.exposed_ports, (std::vector<std::string>{"1/tcp", "2/udp"}));
  EXPECT_TRUE(merged.entrypoint.empty());
  EXPECT_EQ(merged.default_args, std::vector<std::string>{"sh"});
  EXPECT_EQ(merged.user, "");
  EXPECT_EQ(merged.workdir, "/w");
}

TEST(ImageConfig, ExpandsVariablesLikeGo) {
  const Pairs env{{"A", "1"}, {"LONG_1", "x"}};
  const std::pair<const char*, const char*> cases[] = {{"$A", "1"},   {"${A}b", "1b"}, {"$LONG_1/$A", "x/1"},
                                                       {"$NO.", "."}, {"a$", "a$"},    {"$ A", "$ A"},
                                                       {"${A", "A"},  {"$$A", "A"},    {"100%", "100%"}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(expand_variables(text, env), expected) << text;
}

TEST(Platform, IsNormalized) {
  EXPECT_EQ(normalize_platform("linux/x86_64"), "linux/amd64");
  EXPECT_EQ(normalize_platform("arm64"), "linux/arm64");
  EXPECT_EQ(normalize_platform("linux/arm64/v8"), "linux/arm64");
  EXPECT_EQ(normalize_platform("linux/arm/v7"), "linux/arm/v7");
  for (const char* bad : {"windows98", "linux/", "linux/amd64/", "linux/amd64/a/b", ""}) {
    try {
      normalize_platform(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("unknown operating system or architecture"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace dagger::session
