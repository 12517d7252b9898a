#include "core/store/mend.h"

#include <sys/stat.h>

#include "core/store/tree/dir.h"
#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

using testing::TarBuilder;

class Mend : public testing::StoreTest {
 protected:
  Mend() : bottom(unpack(base())) {}
  static std::string base() {
    return TarBuilder()
        .add({.name = "tmp", .type = '5', .mode = 01777, .mtime = 5})
        .add({.name = "home", .type = '5', .mode = 0711, .uid = 3, .gid = 4, .mtime = 6})
        .pax({{"SCHILY.xattr.user.k", "v"}})
        .add({.name = "home/u", .type = '5', .mode = 0700, .uid = 1000, .gid = 1001, .mtime = 7})
        .file("home/u/f")
        .end();
  }
  // The directory of the layer that mends these layers on top of the base; "" when they need none.
  std::string mended(const std::vector<std::string>& tars) {
    Stack stack{bottom};
    for (const auto& tar : tars) stack.push_back(unpack(tar));
    const auto id = mend(*store, stack, ctx);
    return id ? path_of(*id) : "";
  }
  static struct stat st(const std::string& path) {
    struct stat out{};
    EXPECT_EQ(::lstat(path.c_str(), &out), 0) << path;
    return out;
  }
  static void expect_home(const std::string& root) {
    EXPECT_EQ(st(root + "/home").st_mode, S_IFDIR | 0711U);
    EXPECT_EQ(st(root + "/home").st_uid, 3U);
    EXPECT_EQ(st(root + "/home").st_mtim.tv_sec, 6);
  }
  static void expect_user(const std::string& root) {
    expect_home(root);
    EXPECT_EQ(st(root + "/home/u").st_mode, S_IFDIR | 0700U);
    EXPECT_EQ(st(root + "/home/u").st_uid, 1000U);
    EXPECT_EQ(st(root + "/home/u").st_gid, 1001U);
    EXPECT_EQ(st(root + "/home/u").st_mtim.tv_sec, 7);
    const Xattrs wanted{{"user.k", "v"}};
    EXPECT_EQ(read_xattrs(open_file(root, O_RDONLY).get(), "home/u"), wanted);
  }
  static std::vector<std::string> names(const std::string& path) {
    return sorted_names(open_file(path, O_RDONLY | O_DIRECTORY).get());
  }

  const LayerId bottom;
};

using Names = std::vector<std::string>;

TEST_F(Mend, GivesAnImpliedDirectoryTheLookItHasBelow) {
  const auto root = mended({TarBuilder().file("home/u/g").file("new/f").end()});
  expect_user(root);
  EXPECT_EQ(names(root), Names{"home"});
  EXPECT_EQ(names(root + "/home/u"), Names{});
  EXPECT_EQ(st(mended({TarBuilder().file("tmp/.wh.x", "").end()}) + "/tmp").st_mode, S_IFDIR | 01777U);
}

TEST_F(Mend, NeedsNothingWhereEveryDirectoryHasAnEntry) {
  EXPECT_EQ(mended({}), "");
  EXPECT_EQ(mended({TarBuilder().dir("home").dir("home/u").file("home/u/g").file("home/u/.wh.f", "").end()}), "");
  EXPECT_EQ(mended({TarBuilder().file("new/deep/f").file(".wh.tmp", "").end()}), "");
}

TEST_F(Mend, LooksThroughSeveralLayersOfImpliedDirectories) {
  expect_user(mended({TarBuilder().file("home/u/g").end(), TarBuilder().file("home/u/h").end()}));
  const auto root = mended(
      {TarBuilder().file("home/u/g").end(), TarBuilder().add({.name = "home", .type = '5', .mode = 0750}).end()});
  EXPECT_EQ(st(root + "/home").st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(st(root + "/home/u").st_mode, S_IFDIR | 0700U);
}

TEST_F(Mend, TakesNoLookFromWhatIsHidden) {
  EXPECT_EQ(mended({TarBuilder().file(".wh.home", "").end(), TarBuilder().file("home/u/g").end()}), "");
  EXPECT_EQ(mended({TarBuilder().file(".wh.home", "").file("home/u/g").end()}), "");
  EXPECT_EQ(mended({TarBuilder().file("home", "now a file").end(), TarBuilder().file("home/u/g").end()}), "");
  EXPECT_EQ(mended({TarBuilder().file(".wh..wh..opq", "").file("home/u/g").end()}), "");
  // What is in an opaque directory is hidden, not the directory itself.
  expect_user(mended({TarBuilder().file("home/u/.wh..wh..opq", "").end()}));
  const auto root = mended({TarBuilder().file("home/.wh..wh..opq", "").file("home/u/g").end()});
  expect_home(root);
  EXPECT_EQ(names(root + "/home"), Names{});
}

TEST_F(Mend, HidesWhiteoutsOfADirectoryThatNothingIsBelow) {
  const auto root = mended({TarBuilder().dir("new", 0750).dir("new/deep", 0701).file("new/deep/.wh.x", "").end()});
  EXPECT_EQ(st(root + "/new").st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(st(root + "/new/deep").st_mode, S_IFDIR | 0701U);
  EXPECT_EQ(names(root + "/new/deep"), Names{});
}

TEST_F(Mend, KeepsTheLookOfTheRoot) {
  const LayerId low = unpack(TarBuilder().add({.name = "./", .type = '5', .mode = 0711, .uid = 9}).end());
  const auto id = mend(*store, {low, bottom}, ctx);
  ASSERT_TRUE(id);
  EXPECT_EQ(st(path_of(*id)).st_mode, S_IFDIR | 0711U);
  EXPECT_EQ(st(path_of(*id)).st_uid, 9U);
}

}  // namespace
}  // namespace dagger::store
