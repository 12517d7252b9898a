#include <gtest/gtest.h>

#include "plugins/common/base/base64.h"
#include "plugins/common/oci-registry/headers.h"

namespace dagger::oci {
namespace {

TEST(Challenges, AreReadWithQuotesAndSeveralInOneHeader) {
  const auto c = parse_challenges(
      "Basic realm=\"a, \\\"b\\\"\", Bearer realm=\"https://auth.example/token\",service=\"reg\" , "
      "scope=\"repository:a/b:pull,push\"");
  ASSERT_EQ(c.size(), 2U);
  EXPECT_EQ(c[0].scheme, "basic");
  EXPECT_EQ(c[0].parameters.at("realm"), "a, \"b\"");
  EXPECT_EQ(c[1].scheme, "bearer");
  EXPECT_EQ(c[1].parameters.at("realm"), "https://auth.example/token");
  EXPECT_EQ(c[1].parameters.at("scope"), "repository:a/b:pull,push");
}

TEST(Challenges, OfNonsenseAreFewAndHarmless) {
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges("=\"\"").empty());
  EXPECT_EQ(parse_challenges("bearer realm=\"unterminated").at(0).parameters.at("realm"), "unterminated");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "Basic a=b, ";
  EXPECT_LE(parse_challenges(many).size(), 16U);
}

TEST(ContentRange, IsReadOrRefused) {
  const auto r = parse_content_range("bytes 5-9/20");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->first, 5);
  EXPECT_EQ(r->last, 9);
  EXPECT_EQ(r->total, 20);
  EXPECT_EQ(parse_content_range("bytes 5-9/*")->total, -1);
  for (const char* text : {"", "bytes", "bytes 9-5/20", "bytes 5-9/9", "bytes -5/9", "bytes 5-9", "items 5-9/20",
                           "bytes 5-/9", "bytes 1-99999999999999999999/*"})
    EXPECT_FALSE(parse_content_range(text)) << text;
}

TEST(Encodings, AreThoseOfTheStandards) {
  EXPECT_EQ(plugin_base::base64(""), "");
  EXPECT_EQ(plugin_base::base64("f"), "Zg==");
  EXPECT_EQ(plugin_base::base64("fo"), "Zm8=");
  EXPECT_EQ(plugin_base::base64("foo"), "Zm9v");
  EXPECT_EQ(plugin_base::base64("user:p\xc3\xa4ss"), "dXNlcjpww6Rzcw==");
  EXPECT_EQ(percent_encode("repository:a/b:pull ~"), "repository%3Aa%2Fb%3Apull%20~");
}

}  // namespace
}  // namespace dagger::oci
