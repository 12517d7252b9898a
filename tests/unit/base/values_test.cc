// CBOR, digests, JSON: values that come from outside.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/cbor.h"
#include "core/base/digest.h"
#include "core/base/json.h"
#include "dagger/plugin/error.h"

namespace dagger {
namespace {

TEST(Cbor, ReadsWhatItWrote) {
  cbor::Writer w;
  w.array(8)
      .uint(0)
      .uint(UINT64_MAX)
      .integer(-1)
      .integer(INT64_MIN)
      .boolean(true)
      .null()
      .bytes(std::string("\0x", 2))
      .texts({"a", ""});
  cbor::Reader r(w.str());
  r.array(8);
  EXPECT_EQ(r.uint(), 0U);
  EXPECT_EQ(r.uint(), UINT64_MAX);
  EXPECT_EQ(r.integer(), -1);
  EXPECT_EQ(r.integer(), INT64_MIN);
  EXPECT_TRUE(r.boolean());
  EXPECT_TRUE(r.null());
  EXPECT_EQ(r.bytes(), std::string_view("\0x", 2));
  EXPECT_EQ(r.texts(), (std::vector<std::string>{"a", ""}));
  r.expect_end();
}

TEST(Cbor, WritesTheShortestForm) {
  const auto hex = [](std::uint64_t v) { return to_hex(cbor::Writer().uint(v).str()); };
  EXPECT_EQ(hex(23), "17");
  EXPECT_EQ(hex(24), "1818");
  EXPECT_EQ(hex(255), "18ff");
  EXPECT_EQ(hex(256), "190100");
  EXPECT_EQ(hex(65536), "1a00010000");
  EXPECT_EQ(hex(1ULL << 32), "1b0000000100000000");
}

TEST(Cbor, RefusesWhatIsNotCanonicalOrEndsTooEarly) {
  const auto refused = [](std::string_view bytes) {
    cbor::Reader r(bytes);
    EXPECT_THROW(r.item(), Error) << to_hex(bytes);
  };
  for (const char* bytes : {"", "\x18\x17", "\x19\x01", "\x5f",
                            "\x62"
                            "a",
                            "\xf9", "\xa0", "\xc0", "\x1c", "\x9f"})
    refused(bytes);
  refused(std::string_view("\x19\x00\xff", 3));
  refused(std::string_view("\x82\x01", 2));
  refused(std::string_view("\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 9));  // an array longer than memory
  refused(std::string_view("\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 9));
}

TEST(Cbor, RefusesNumbersOutOfRange) {
  EXPECT_THROW(cbor::Reader(cbor::Writer().uint(UINT64_MAX).str()).integer(), Error);
  EXPECT_THROW(cbor::Reader(std::string_view("\x3b\xff\xff\xff\xff\xff\xff\xff\xff", 9)).integer(), Error);
}

TEST(Cbor, TakesDeepNestingWithoutTheStack) {
  std::string bytes(1 << 20, '\x81');
  bytes += '\x01';
  cbor::Reader r(bytes);
  EXPECT_EQ(r.item().size(), bytes.size());
}

TEST(Digests, AreThoseOfTheStandard) {
  EXPECT_EQ(Digest::of("abc").str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 h;
  h.update("a");
  h.update("bc");
  EXPECT_EQ(h.finish(), Digest::of("abc"));
}

TEST(Digests, AreReadBackAndNothingElseIs) {
  const Digest d = Digest::of("x");
  EXPECT_EQ(Digest::parse(d.str()), d);
  EXPECT_EQ(Digest::from_bytes(d.raw()), d);
  for (const std::string& bad : {std::string(), std::string("sha256:"), d.hex(), "sha512:" + d.hex(), d.str() + "0",
                                 "sha256:" + std::string(64, 'G'), "sha256:" + std::string(64, 'A')})
    EXPECT_THROW(Digest::parse(bad), Error) << bad;
  EXPECT_THROW(Digest::from_bytes("short"), Error);
}

TEST(Digests, AreWrittenInBase32) {
  EXPECT_EQ(to_base32(""), "");
  EXPECT_EQ(to_base32("f"), "my");
  EXPECT_EQ(to_base32("foobar"), "mzxw6ytboi");
}

TEST(Json, RefusesDepthSizeAndNonsense) {
  EXPECT_EQ(parse_json("{\"a\":[1]}", "x")["a"][0], 1);
  EXPECT_THROW(parse_json(std::string(100, '['), "x"), Error);
  EXPECT_THROW(parse_json("{", "x"), Error);
  JsonLimits small;
  small.bytes = 3;
  EXPECT_THROW(parse_json("[1,2]", "x", small), Error);
}

}  // namespace
}  // namespace dagger
