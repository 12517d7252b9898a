#include "core/dag/op.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "core/base/cbor.h"
#include "dagger/plugin/error.h"
#include "tests/unit/dag/sample_ops.h"

namespace dagger::dag {
namespace {

using testing::all_kinds;
using testing::full_exec;
using testing::ref;

Code code_of(const std::string& encoded) {
  try {
    decode(encoded);
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "decoded";
  return Code::internal;
}

std::string encode_exec(const std::function<void(Exec&)>& change) {
  Op op{full_exec(), {ref("root"), ref("src"), ref("seed")}};
  change(std::get<Exec>(op.fields));
  return encode(op);
}

TEST(Op, ComesBackFromItsEncodingUnchanged) {
  for (const auto& op : all_kinds()) EXPECT_EQ(decode(encode(op)), op) << kind_name(op);
}

TEST(Op, HasOneEncodingOnly) {
  for (const auto& op : all_kinds()) EXPECT_EQ(encode(decode(encode(op))), encode(op)) << kind_name(op);
}

TEST(Op, OfEveryKindHasItsOwnNameAndDigest) {
  std::set<std::string_view> names;
  std::set<Digest> digests;
  const auto ops = all_kinds();
  ASSERT_EQ(ops.size(), std::variant_size_v<Fields>);
  for (const auto& op : ops) {
    names.insert(kind_name(op));
    digests.insert(digest(op));
  }
  EXPECT_EQ(names.size(), ops.size());
  EXPECT_EQ(digests.size(), ops.size());
}

// Records, recipes and cache tiers hold these digests: when one of them changes, encoding_version must change too.
TEST(Op, EncodingHasNotChanged) {
  const std::map<std::string_view, std::string_view> golden = {
      {"scratch", "b27cdea3d1eecdb6664efb38b6a69c6ef17c166046ba2990ffabf86bb5a84f7a"},
      {"source", "363278d0fd3da629241cfae883efafb5fab765534c9b8855862c1ce110a542be"},
      {"local", "2876d1c8e4ef96a3443c8b9cc823eec9fb55e6287c5cd03035a95010e8ff12b6"},
      {"exec", "f73a883c7c0aff42311ad9be503ce571a94c1f0d0c9008fdc15fcd213da9ca93"},
      {"copy", "f0f76406c3f7c6793707ead91480503e072e3c67edb8af233490335755cb0f82"},
      {"subpath", "dfff2cda6df8b675a1fa06b9ca88a48e5c46c8e783a68011ce96b76eb204c09d"},
      {"merge", "9b49b49ccb8503898c67d3f679f428c894afc73abf875cc2c0dffc01f15cad21"},
      {"diff", "bf3eb03df930bcda9dcedf51a6b7c67b38b7d195cf5b709bf4fcac0a77187de2"},
      {"write", "c3dac44987c3f86315dfa926b1e4e83ad386bd0a53d0921de25237d6645d95c9"},
      {"mkdir", "3652af6b4b022164ca1f4f58efa8ec2c5c6d1270d2dd8bb49b14ee0f1418bbc5"},
      {"remove", "0ba36e01cc729afac92e1389e4fd568bf51204943bf7a25d3b46be84d67d81c7"},
      {"symlink", "325952c5379436ed86b22bf7b1f77c40cf54c09b13f0d24916c44ceedb3961a9"},
      {"timestamps", "9eacdc1e01e3ef6aa7675b77c5afc75492af79b752bf62da08fab10b3d252273"},
      {"chown", "5419f6eac56298644d153349df57960f99c1441131678163a2065b38a3e76849"},
      {"archive", "c58849e4c9a8eaef964e680e2291d964589b5e9afdb33a6ca0119ca6903258cf"},
  };
  for (const auto& op : all_kinds()) {
    const auto it = golden.find(kind_name(op));
    ASSERT_NE(it, golden.end()) << kind_name(op);
    EXPECT_EQ(digest(op).hex(), it->second) << kind_name(op);
  }
}

TEST(Op, OfANewerEncodingIsRefusedWithBothVersions) {
  cbor::Writer w;
  w.array(4).uint(encoding_version + 1).text("scratch").array(0).array(0);
  try {
    decode(w.str());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unsupported);
    EXPECT_NE(std::string(e.what()).find(std::to_string(encoding_version + 1)), std::string::npos);
  }
}

TEST(Op, OfAnUnknownKindIsRefused) {
  cbor::Writer w;
  w.array(4).uint(encoding_version).text(std::string(100'000, 'k')).array(0).array(0);
  try {
    decode(w.str());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unsupported);
    EXPECT_LT(std::string(e.what()).size(), 200U) << "a name from outside is shown in part only";
  }
}

TEST(Op, CutAnywhereIsRefused) {
  for (const auto& op : all_kinds()) {
    const auto whole = encode(op);
    for (std::size_t n = 0; n < whole.size(); ++n)
      EXPECT_THROW(decode(std::string_view(whole).substr(0, n)), Error) << kind_name(op) << " at " << n;
  }
}

TEST(Op, WithBytesAfterItsEndIsRefused) {
  for (const auto& op : all_kinds()) EXPECT_EQ(code_of(encode(op) + '\0'), Code::corrupt_data) << kind_name(op);
}

// Whatever comes in decodes to an op that encodes to the very same bytes, or is refused.
TEST(Op, WithAChangedByteIsRefusedOrIsAnotherOp) {
  std::mt19937 random(1);
  for (const auto& op : all_kinds()) {
    const auto whole = encode(op);
    for (int i = 0; i < 2000; ++i) {
      auto bytes = whole;
      bytes[random() % bytes.size()] = static_cast<char>(random());
      try {
        EXPECT_EQ(encode(decode(bytes)), bytes);
      } catch (const Error&) {
      }
    }
  }
}

TEST(Op, ThatClaimsAHugeListIsRefusedWithoutMakingRoom) {
  for (const char* length : {"\x9a\xff\xff\xff\xff", "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"}) {
    cbor::Writer w;
    w.array(4).uint(encoding_version).text("merge").array(0);
    EXPECT_EQ(code_of(w.str() + length), Code::corrupt_data);
  }
}

TEST(Op, ExecWithoutACommandOrARootIsRefused) {
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.args.clear(); })), Code::corrupt_data);
  EXPECT_EQ(code_of(encode({Exec{{"true"}}, {}})), Code::corrupt_data);
}

TEST(Op, ExecWithAMountOfAnInputItHasNotIsRefused) {
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts[0].input = 3; })), Code::corrupt_data);
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts[0].input = -1; })), Code::corrupt_data);
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts[1].input = -2; })), Code::corrupt_data);
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts[1].input = INT32_MIN; })), Code::corrupt_data);
}

TEST(Op, ExecWithAnUncleanMountTargetIsRefused) {
  for (const char* target : {"", "src", "../src", "/a/../src", "/src/", "/a//b", "/./src"})
    EXPECT_EQ(code_of(encode_exec([&](Exec& e) { e.mounts[0].target = target; })), Code::corrupt_data) << target;
}

TEST(Op, ExecWithTwoTreesAtOnePlaceIsRefused) {
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts.push_back(e.mounts[0]); })), Code::corrupt_data);
}

TEST(Op, ExecMayHaveASecretOverATree) {
  const auto encoded = encode_exec([](Exec& e) { e.mounts[3].target = e.mounts[0].target; });
  EXPECT_EQ(encode(decode(encoded)), encoded);
}

TEST(Op, WithoutTheInputsItsKindNeedsIsRefused) {
  for (auto op : all_kinds()) {
    if (op.inputs.empty()) {
      op.inputs = {ref("surplus")};
      EXPECT_EQ(code_of(encode(op)), Code::corrupt_data) << kind_name(op);
    } else if (std::holds_alternative<Copy>(op.fields) || std::holds_alternative<Diff>(op.fields)) {
      op.inputs.resize(1);
      EXPECT_EQ(code_of(encode(op)), Code::corrupt_data) << kind_name(op);
    } else if (std::holds_alternative<Subpath>(op.fields)) {
      op.inputs.clear();
      EXPECT_EQ(code_of(encode(op)), Code::corrupt_data) << kind_name(op);
    }
  }
}

TEST(Op, HasOneOutputButExecs) {
  for (const auto& op : all_kinds()) {
    if (std::holds_alternative<Exec>(op.fields)) continue;
    EXPECT_EQ(outputs(op), std::vector<std::string>{""}) << kind_name(op);
    EXPECT_EQ(main_output(op), "");
  }
}

TEST(Op, ExecHasAnOutputForItsRootAndForEachWritableTree) {
  Op op{full_exec(), {ref("root"), ref("src"), ref("seed")}};
  EXPECT_EQ(outputs(op), std::vector<std::string>{"root"}) << "read-only trees and volumes have none";
  std::get<Exec>(op.fields).mounts[0].read_only = false;
  EXPECT_EQ(outputs(op), (std::vector<std::string>{"root", "mount:/src"}));
  EXPECT_EQ(main_output(op), "root");
}

}  // namespace
}  // namespace dagger::dag
