#include "core/dag/keys.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/dag/sample_ops.h"

namespace dagger::dag {
namespace {

using testing::all_kinds;
using testing::exec_changes;
using testing::full_exec;
using testing::ref;

std::vector<Digest> digests(std::size_t n) {
  std::vector<Digest> all;
  for (std::size_t i = 0; i < n; ++i) all.push_back(Digest::of("input " + std::to_string(i)));
  return all;
}

std::vector<KeyPart> parts_of(const Op& op, const std::string& scope = "uid:0") {
  return key_parts(op, own_parts(op), digests(op.inputs.size()), scope);
}
Digest key(const Op& op, const std::string& scope = "uid:0") {
  return key_of(op, parts_of(op, scope), InputsAre::definitions);
}
Op exec_op(Exec e) { return {std::move(e), {ref("root"), ref("src"), ref("seed")}}; }

Exec simple_exec() {
  Exec e;
  e.args = {"true"};
  return e;
}

TEST(Key, OfAnExecChangesWithEverythingTheProcessCanSee) {
  const Op before = exec_op(full_exec());
  for (const auto& [name, change] : exec_changes()) {
    auto exec = full_exec();
    change(exec);
    EXPECT_NE(key(exec_op(exec)), key(before)) << name;
    EXPECT_EQ(explain(differences(parts_of(before), parts_of(exec_op(exec)))), name + " changed");
  }
}

TEST(Key, DoesNotKnowLimits) {
  auto exec = full_exec();
  exec.mounts[2].size *= 2;  // of a tmpfs
  EXPECT_EQ(key(exec_op(exec)), key(exec_op(full_exec())));
}

TEST(Key, OfEveryKindChangesWithItsArguments) {
  auto ops = all_kinds();
  for (const auto& op : ops)
    EXPECT_EQ(std::ranges::count_if(ops, [&](const Op& o) { return key(o) == key(op); }), 1) << kind_name(op);
  const Op base{Write{"/f", "data", "", 0644}, {ref("base")}};
  for (const Write& w : {Write{"/g", "data", "", 0644}, Write{"/f", "other", "", 0644}, Write{"/f", "data", "u", 0644},
                         Write{"/f", "data", "", 0600}})
    EXPECT_NE(key({w, base.inputs}), key(base));
}

TEST(Key, OfASourceIsItsPinAndNoSpellingOfIt) {
  const Source image{"oci", "alpine:3", "linux/amd64", {}, "sha256:aa", "docker.io/library/alpine:3@sha256:aa"};
  Source mirror = image;
  mirror.location = "mirror.example/alpine";
  mirror.pin_identity = "mirror.example/alpine@sha256:aa";
  mirror.attributes = {{"ref", "main"}};
  EXPECT_EQ(key({mirror, {}}), key({image, {}}));
  Source newer = image;
  newer.pin_digest = "sha256:bb";
  EXPECT_NE(key({newer, {}}), key({image, {}}));
  Source other_scheme = image;
  other_scheme.scheme = "git";
  EXPECT_NE(key({other_scheme, {}}), key({image, {}}));
}

TEST(Key, KnowsTheTrustScopeOnlyWhereTheOpUsesSomethingOfATenant) {
  EXPECT_EQ(key(exec_op(simple_exec()), "uid:1"), key(exec_op(simple_exec()), "uid:2"));
  for (const auto& op : all_kinds())
    if (!std::holds_alternative<Exec>(op.fields)) EXPECT_EQ(key(op, "uid:1"), key(op, "uid:2")) << kind_name(op);

  const auto with_mount = [](MountType type) {
    auto e = simple_exec();
    e.mounts.push_back({type, "/m", -1, "", false, "name"});
    return e;
  };
  auto variable = simple_exec();
  variable.secret_env = {{"TOKEN", "token"}};
  auto nested = simple_exec();
  nested.nesting = true;
  for (const auto& e :
       {variable, nested, with_mount(MountType::secret), with_mount(MountType::socket), with_mount(MountType::cache)}) {
    EXPECT_TRUE(needs_scope(exec_op(e)));
    EXPECT_NE(key(exec_op(e), "uid:1"), key(exec_op(e), "uid:2"));
  }
  EXPECT_FALSE(needs_scope(exec_op(with_mount(MountType::tmpfs))));
}

TEST(Key, ChangesWithEveryInput) {
  for (const auto& op : all_kinds()) {
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      auto inputs = digests(op.inputs.size());
      const auto before = key_of(op, key_parts(op, own_parts(op), inputs, "s"), InputsAre::definitions);
      inputs[i] = Digest::of("changed");
      EXPECT_NE(key_of(op, key_parts(op, own_parts(op), inputs, "s"), InputsAre::definitions), before)
          << kind_name(op) << ' ' << i;
    }
  }
}

TEST(Key, OfDefinitionsIsNeverOneOfContents) {
  for (const auto& op : all_kinds())
    EXPECT_NE(key_of(op, parts_of(op), InputsAre::definitions), key_of(op, parts_of(op), InputsAre::contents));
}

TEST(Key, TellsOneOutputOfAnOpFromAnother) {
  const auto definition = Digest::of("op");
  EXPECT_NE(output_key(definition, "root"), output_key(definition, "mount:/src"));
  EXPECT_NE(output_key(definition, "root"), output_key(Digest::of("other"), "root"));
  EXPECT_NE(output_key(definition, ""), definition);
}

TEST(Key, IsNotConfusedByNamesThatLookLikeOtherParts) {
  auto variable = simple_exec();
  variable.env = {{"A", "b"}, {"C", "d"}};
  auto swapped = simple_exec();
  swapped.env = {{"C", "d"}, {"A", "b"}};
  EXPECT_NE(key(exec_op(variable)), key(exec_op(swapped))) << "a process can see the order";
  auto joined = simple_exec();
  joined.args = {"true", "a b"};
  auto split = simple_exec();
  split.args = {"true", "a", "b"};
  EXPECT_NE(key(exec_op(joined)), key(exec_op(split)));
  auto secret = simple_exec();
  secret.secret_env = {{"TOKEN", "token"}};
  auto plain = simple_exec();
  plain.env = {{"TOKEN", "token"}};
  EXPECT_NE(key(exec_op(secret)), key(exec_op(plain)));
}

TEST(Key, HasNotChanged) {
  // Records hold these keys: when one of them changes, key_version must change too.
  EXPECT_EQ(key(exec_op(full_exec())).hex(), "3a3b5d136c8199b205b78d3fb718fd71436384c72a8a85a81ef0122799576155");
  EXPECT_EQ(key({Write{"/f", "data", "", 0644}, {ref("base")}}).hex(),
            "46d5f73c3521a0f589f8b438c7d22646003545ce476878f1a6a5b29e78e62876");
}

TEST(Explain, NamesWhatIsNewAndWhatIsGone) {
  auto before = simple_exec();
  before.env = {{"OLD", "1"}};
  auto now = simple_exec();
  now.env = {{"NEW", "1"}};
  EXPECT_EQ(explain(differences(parts_of(exec_op(before)), parts_of(exec_op(now)))),
            "environment variable NEW is new, environment variable OLD is gone");
}

TEST(Explain, NamesTheMountOfAnInput) {
  const Op op = exec_op(full_exec());
  auto inputs = digests(3);
  const auto before = key_parts(op, own_parts(op), inputs, "s");
  inputs[1] = Digest::of("changed");
  EXPECT_EQ(explain(differences(before, key_parts(op, own_parts(op), inputs, "s"))), "input /src changed");
  inputs = digests(3);
  inputs[0] = Digest::of("changed");
  EXPECT_EQ(explain(differences(before, key_parts(op, own_parts(op), inputs, "s"))), "input / changed");
}

TEST(Explain, NamesAtMostThreeDifferencesCommandsFirst) {
  auto now = full_exec();
  for (const auto& [name, change] : exec_changes()) change(now);
  const auto text = explain(differences(parts_of(exec_op(full_exec())), parts_of(exec_op(now))));
  EXPECT_TRUE(text.starts_with("command changed, environment variable PATH changed, ")) << text;
  EXPECT_EQ(std::ranges::count(text, ','), 2) << text;
  EXPECT_TRUE(text.ends_with(" more")) << text;
}

TEST(Explain, OfEqualPartsSaysThatTheResultIsGone) {
  const auto parts = parts_of(exec_op(full_exec()));
  EXPECT_EQ(explain(differences(parts, parts)), "its result is no longer there");
}

TEST(Explain, ComparesAVariableThatIsSetTwiceWithItself) {
  auto before = simple_exec();
  before.env = {{"A", "1"}, {"A", "2"}};
  auto now = before;
  now.env[0].second = "3";
  EXPECT_NE(key(exec_op(before)), key(exec_op(now)));
  EXPECT_EQ(explain(differences(parts_of(exec_op(before)), parts_of(exec_op(now)))), "environment variable A changed");
}

TEST(Slots, AreSharedByTheSameCommandElsewhereAndByAnotherCommandInTheSamePlace) {
  const auto slots_of = [](const Exec& e, const char* root) {
    const Op op = exec_op(e);
    auto inputs = digests(3);
    inputs[0] = Digest::of(root);
    return slots(op, key_parts(op, own_parts(op), inputs, "s"));
  };
  auto other_command = simple_exec();
  other_command.args = {"false"};
  const auto here = slots_of(simple_exec(), "here"), elsewhere = slots_of(simple_exec(), "elsewhere"),
             other = slots_of(other_command, "here");
  ASSERT_EQ(here.size(), 2U);
  EXPECT_EQ(here[0], elsewhere[0]);
  EXPECT_NE(here[1], elsewhere[1]);
  EXPECT_EQ(here[1], other[1]);
  EXPECT_NE(here[0], other[0]);
}

}  // namespace
}  // namespace dagger::dag
