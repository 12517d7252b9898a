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
#include "tests/unit/dag/golden_digests.inc"
  };
  for (const auto& op : all_kinds()) {
    const auto it = golden.find(kind_name(op));
    ASSERT_NE(it, golden.end()) << "{\"" << kind_name(op) << "\", \"" << digest(op).hex() << "\"},";
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
  for (const char* target : {"", "src", "../src", "/a/../src", "/src/", "/a//b", "/./src", "/"})
    EXPECT_EQ(code_of(encode_exec([&](Exec& e) { e.mounts[0].target = target; })), Code::corrupt_data) << target;
}

TEST(Op, ExecWithTwoMountsAtOnePlaceIsRefused) {
  EXPECT_EQ(code_of(encode_exec([](Exec& e) { e.mounts[1].target = e.mounts[0].target; })), Code::corrupt_data);
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
