#include "reference.h"

#include <gtest/gtest.h>

namespace source_archive {
namespace {

const std::string sum(64, 'a');

Reference of(const std::string& location, dagger::plugin::Attributes attributes = {}) {
  return parse({"archive", location, std::move(attributes), ""});
}

std::string refused(const std::string& location, dagger::plugin::Attributes attributes = {}) {
  try {
    of(location, std::move(attributes));
    return "accepted";
  } catch (const dagger::Error& e) {
    return e.what();
  }
}

TEST(Reference, HasAUrlAChecksumAndAStrip) {
  const auto ref = of("https://host/x.tar.gz?a=b#sha256=" + sum + "&strip=2");
  EXPECT_EQ(ref.url, "https://host/x.tar.gz?a=b");
  EXPECT_EQ(ref.sha256, sum);
  EXPECT_EQ(ref.strip, 2);
  EXPECT_FALSE(ref.is_file());
}

TEST(Reference, MayBeWrittenWithSlashes) { EXPECT_EQ(of("//http://h/x#strip=1").url, "http://h/x"); }

TEST(Reference, TakesAChecksumInUpperCase) { EXPECT_EQ(of("http://h/x#sha256=" + std::string(64, 'A')).sha256, sum); }

TEST(Reference, TakesTheChecksumThatTheApiWasTold) {
  EXPECT_EQ(of("http://h/x", {{"checksum", "sha256:" + sum}, {"ref", "main"}}).sha256, sum);
  EXPECT_NE(refused("http://h/x#sha256=" + sum, {{"checksum", std::string(64, 'b')}}).find("differ"),
            std::string::npos);
  EXPECT_NE(refused("http://h/x", {{"subdir", "a"}}).find("has no \"subdir\""), std::string::npos);
}

TEST(Reference, DecodesThePathOfAFile) { EXPECT_EQ(of("file:///a%20b/c%23.tar").path, "/a b/c#.tar"); }

TEST(Reference, ShowsNoQueryInMessages) { EXPECT_EQ(of("https://h/x.zip?sig=abc").name(), "archive:https://h/x.zip"); }

TEST(Reference, RefusesWhatItDoesNotUnderstand) {
  for (const std::string location :
       {"", "x.tar", "ftp://h/x", "https://", "https:///x", "http://h/x#sha256=", "http://h/x#strip=65",
        "http://h/x#strip=-1", "http://h/x#strip=1x", "http://h/x#strip=1&strip=1", "http://h/x#sha512=a",
        "http://h/a b", "file://host/x", "file:///", "file:///a/../b", "file:///a/%2e%2e/b", "file:///a%0",
        "file:///a%00b"}) {
    EXPECT_EQ(refused(location).rfind("archive:", 0), 0U) << location << ": " << refused(location);
  }
  EXPECT_EQ(of("http://h/x#").strip, 0);
  EXPECT_LT(refused(std::string(100000, 'a')).size(), 400U);
  EXPECT_EQ(refused("https://me:word@host/x").find("word@"), std::string::npos);
}

TEST(PinDigest, CoversTheChecksumAndTheStrip) {
  EXPECT_NE(pin_digest(sum, 0), pin_digest(sum, 1));
  EXPECT_EQ(sha256_in(pin_digest(sum, 1)), sum);
  EXPECT_EQ(sha256_in("archive:short"), "");
  EXPECT_EQ(sha256_in("sha256:" + sum), "");
}

TEST(PinIdentity, IsAReferenceThatMeansTheSame) {
  const auto ref = of("https://h/x#strip=1");
  const auto again = of(pin_identity(ref, sum).substr(8));
  EXPECT_EQ(again.sha256, sum);
  EXPECT_EQ(again.strip, 1);
}

}  // namespace
}  // namespace source_archive
