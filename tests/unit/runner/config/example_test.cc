// The example file: it says nothing as it is, and what it shows as defaults are the defaults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "core/base/fs.h"
#include "core/runner/config/keys.h"

namespace dagger::runner {
namespace {

using ::testing::HasSubstr;

ConfigContext context() {
  ConfigContext c;
  c.install_dir = "/usr";
  c.env = [](const std::string&) { return std::nullopt; };
  c.cores = 4;
  return c;
}

Config parse(std::optional<std::string_view> text) { return parse_config(text, "example.toml", context()); }

// Every setting without the mark in front of it; samples: also those that only show how it would be said.
std::string unmarked(bool samples) {
  std::istringstream lines(example_config(context()));
  std::string out;
  bool sample = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with("# ")) {
      if (!line.empty() || sample) sample = line.ends_with("example:");
      continue;
    }
    EXPECT_EQ(line[0], '#') << line;
    if (samples || !sample) out += line.substr(1) + "\n";
  }
  return out;
}

// What counts: values, not where they come from.
Config plain(Config c) {
  c.file.clear();
  c.origins.clear();
  std::vector<plugin::PluginChoice*> choices;
  for (const auto& kind : kinds())
    for (auto& choice : c.*kind.choices) choices.push_back(&choice);
  for (auto& [name, choice] : c.networks) choices.push_back(&choice);
  for (auto* choice : choices) choice->origin.clear(), choice->places.clear();
  return c;
}

TEST(ConfigExample, ChangesNothingAsItIs) {
  const auto c = plain(parse(example_config(context())));
  EXPECT_EQ(show_config(c, false), show_config(plain(parse(std::nullopt)), false));
  EXPECT_TRUE(c == plain(parse(std::nullopt)));
}

TEST(ConfigExample, ShowsTheDefaults) {
  const auto c = plain(parse(unmarked(false)));
  EXPECT_EQ(show_config(c, false), show_config(plain(parse(std::nullopt)), false));
  EXPECT_TRUE(c == plain(parse(std::nullopt)));
}

TEST(ConfigExample, IsRightWhenEverythingInItIsSaid) {
  const auto c = parse(unmarked(true));
  EXPECT_EQ(c.caches.size(), 1U);
  EXPECT_EQ(c.registries.size(), 1U);
  EXPECT_EQ(c.log_file, "/var/log/dagger.log");
}

TEST(ConfigExample, NamesEveryKey) {
  const auto text = example_config(context());
  for (const auto& key : config_keys())
    EXPECT_THAT(text, HasSubstr("#" + std::string(key.sample == nullptr ? " " : "") + key.name)) << key.path();
  for (const auto& key : choice_keys()) EXPECT_THAT(text, HasSubstr("# " + std::string(key.name) + ": "));
}

TEST(ConfigExample, IsTheReferenceInTheDocuments) {
  const auto document = read_file(DAGGER_SOURCE_DIR "/docs/configuration.md", 1 << 20);
  EXPECT_TRUE(document.find("```toml\n" + example_config(context()) + "```\n") != std::string::npos)
      << "docs/configuration.md does not have the example; put this into it:\n"
      << example_config(context());
}

}  // namespace
}  // namespace dagger::runner
