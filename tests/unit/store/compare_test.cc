#include "core/store/tree/compare.h"

#include "core/store/tree/dir.h"
#include "tests/unit/store/fixture.h"

namespace dagger::store::tree {

void PrintTo(const Change& c, std::ostream* out) { *out << c.path << " " << static_cast<int>(c.kind); }

namespace {

using testing::put_file;
using Changes = std::vector<Change>;

class Compare : public ::testing::Test {
 protected:
  Compare() {
    for (const char* name : {"before", "now"}) make_dirs(dir.path() + "/" + name);
    before = open_file(dir.path() + "/before", O_RDONLY | O_DIRECTORY);
    now = open_file(dir.path() + "/now", O_RDONLY | O_DIRECTORY);
  }
  void put(int root, const std::string& path, const std::string& data, long seconds = 1000) {
    make_dirs_in_root(root, parent_path("/" + path));
    put_file(root, path, data);
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(root, path.c_str(), times, 0), 0);
  }
  Changes changes() { return compare(before.get(), now.get(), limits, ctx); }

  TempDir dir{"/dev/shm"};
  UniqueFd before, now;
  CompareLimits limits;
  testing::FakeContext ctx;
};

TEST_F(Compare, FindsNothingInEqualTrees) {
  for (const auto* root : {&before, &now}) put(root->get(), "d/f", "x");
  EXPECT_EQ(changes(), Changes{});
}

TEST_F(Compare, NamesWhatChangedCameAndWent) {
  put(before.get(), "d/e/changed", "x");
  put(now.get(), "d/e/changed", "longer");
  put(before.get(), "d/gone", "x");
  put(now.get(), "d/new", "x");
  EXPECT_EQ(
      changes(),
      (Changes{{"d/e/changed", ChangeKind::changed}, {"d/gone", ChangeKind::removed}, {"d/new", ChangeKind::added}}));
}

TEST_F(Compare, ReadsFilesOfOneSizeWithOtherTimes) {
  put(before.get(), "same", "x", 1);
  put(now.get(), "same", "x", 2);
  put(before.get(), "other", "x", 1);
  put(now.get(), "other", "y", 2);
  EXPECT_EQ(changes(), (Changes{{"other", ChangeKind::changed}}));
  limits.bytes = 0;
  EXPECT_EQ(changes().size(), 2U) << "beyond the limit it is taken for changed";
}

TEST_F(Compare, ReadsAWhiteoutAsWhatIsNotThere) {
  ASSERT_EQ(::mknodat(now.get(), "f", S_IFCHR | 0600, 0), 0);
  put(before.get(), "f", "x");
  ASSERT_EQ(::mknodat(now.get(), "g", S_IFCHR | 0600, 0), 0);
  EXPECT_EQ(changes(), (Changes{{"f", ChangeKind::removed}, {"g", ChangeKind::removed}}));
}

TEST_F(Compare, KnowsModesAndLinks) {
  put(before.get(), "f", "x");
  put(now.get(), "f", "x");
  ASSERT_EQ(::fchmodat(now.get(), "f", 0755, 0), 0);
  ASSERT_EQ(::symlinkat("a", before.get(), "l"), 0);
  ASSERT_EQ(::symlinkat("b", now.get(), "l"), 0);
  EXPECT_EQ(changes(), (Changes{{"f", ChangeKind::changed}, {"l", ChangeKind::changed}}));
}

TEST_F(Compare, EndsAtItsLimits) {
  for (int i = 0; i < 20; ++i) put(now.get(), std::to_string(i), "x");
  limits.changes = 5;
  EXPECT_EQ(changes().size(), 5U);
}

TEST_F(Compare, TakesNothingForAnEmptyTree) {
  put(now.get(), "f", "x");
  EXPECT_EQ(compare(-1, now.get(), limits, ctx), (Changes{{"f", ChangeKind::added}}));
}

}  // namespace
}  // namespace dagger::store::tree
