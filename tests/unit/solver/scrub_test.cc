#include "core/solver/scrub.h"

#include <gtest/gtest.h>

#include <random>

namespace dagger::solver {
namespace {

// What comes out when text arrives in pieces of this size.
std::string scrubbed(const std::vector<std::string>& secrets, const std::string& text, std::size_t piece) {
  Scrubber scrubber(secrets);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece)
    out += scrubber.feed(std::string_view(text).substr(at, piece));
  return out + scrubber.finish();
}

struct Case {
  std::vector<std::string> secrets;
  std::string text, expected;
};
const std::vector<Case> cases = {
    {{}, "anything", "anything"},
    {{""}, "anything", "anything"},
    {{"hush"}, "a hush b", "a *** b"},
    {{"hush"}, "hush", "***"},
    {{"hush"}, "hushhush", "******"},
    {{"hush"}, "hus hu h", "hus hu h"},
    {{"hush"}, "huhush", "hu***"},
    {{"aab"}, "aaab", "a***"},
    {{"one", "two"}, "one two three", "*** *** three"},
    {{"pass", "password"}, "password pass", "*** ***"},
    {{"password", "pass"}, "passwor", "***wor"},
    {{"word", "password"}, "password", "***"},
    {{"abc", "bcd"}, "xabcdx", "x***x"},          // nothing is left of the second
    {{"abc", "cde", "efg"}, "abcdefg!", "***!"},  // a row of overlaps
    {{"aa"}, "aaa", "***"},                       // of a secret with itself
    {{"abcd", "bc"}, "abcx", "a***x"},            // the longer one began, but did not come
    {{"line1\nline2"}, "line1\nline2\n", "***\n"},
    {{std::string("a\0b", 3)}, std::string("xa\0bx", 5), "x***x"},
};

TEST(Scrub, ReplacesSecretsHoweverTheTextIsCut) {
  for (const auto& c : cases)
    for (std::size_t piece = 1; piece <= c.text.size(); ++piece)
      EXPECT_EQ(scrubbed(c.secrets, c.text, piece), c.expected) << c.text << " in pieces of " << piece;
}

TEST(Scrub, HoldsBackOnlyWhatMayBecomeASecret) {
  Scrubber scrubber({"hush"});
  EXPECT_EQ(scrubber.feed("plain text hu"), "plain text ");
  EXPECT_EQ(scrubber.feed("man"), "human");
  EXPECT_EQ(scrubber.feed("hus"), "");
  EXPECT_EQ(scrubber.feed("h"), "***");
  EXPECT_EQ(scrubber.finish(), "");
}

TEST(Scrub, LetsNoSecretThroughWhateverTheyAre) {
  std::mt19937 random(3);
  const auto word = [&](std::size_t longest) {
    std::string w(1 + random() % longest, 'a');
    for (auto& c : w) c = static_cast<char>('a' + random() % 2);
    return w;
  };
  for (int i = 0; i < 3000; ++i) {
    const std::vector<std::string> secrets = {word(5), word(5), word(5)};
    const std::string text = word(30);
    const auto whole = scrubbed(secrets, text, text.size());
    for (const auto& s : secrets) EXPECT_EQ(whole.find(s), std::string::npos) << s << " in " << text;
    for (std::size_t piece = 1; piece < 7; ++piece) EXPECT_EQ(scrubbed(secrets, text, piece), whole) << text;
  }
}

}  // namespace
}  // namespace dagger::solver
