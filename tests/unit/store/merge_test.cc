// Many layers made one, and stacks that are longer than the snapshotter can stack.
#include "core/store/tree/merge.h"

#include <sys/sysmacros.h>

#include "core/store/flatten.h"
#include "core/store/tree/dir.h"
#include "core/store/unpack/unpack.h"
#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

using testing::get_file;
using testing::put_file;
using testing::TarBuilder;

// ---- groups ----

// Merges by remembering what it was asked for.
struct Groups {
  std::vector<Stack> made;
  Stack flatten(Stack stack, std::size_t max) {
    return store::flatten(std::move(stack), max, [this](const Stack& group) {
      const auto at = std::find(made.begin(), made.end(), group);
      const auto id = static_cast<LayerId>(1000 + (at - made.begin()));
      if (at == made.end()) made.push_back(group);
      return id;
    });
  }
};

TEST(Flatten, LeavesAStackThatFits) {
  Groups groups;
  EXPECT_EQ(groups.flatten({1, 2, 3, 4}, 4), (Stack{1, 2, 3, 4}));
  EXPECT_TRUE(groups.made.empty());
}

TEST(Flatten, MergesTheLowestLayersInGroups) {
  Groups groups;
  EXPECT_EQ(groups.flatten({1, 2, 3, 4, 5, 6, 7, 8, 9}, 8), (Stack{1000, 1001, 1002, 1003, 9}));
  EXPECT_EQ(groups.made, (std::vector<Stack>{{1, 2}, {3, 4}, {5, 6}, {7, 8}}));
}

TEST(Flatten, MergesEachLayerOnceWhileAStackGrows) {
  Groups groups;
  Stack stack;
  for (LayerId id = 1; id <= 500; ++id) {
    stack.push_back(id);
    EXPECT_LE(groups.flatten(stack, 20).size(), 20U);
  }
  std::map<LayerId, int> times;
  for (const auto& group : groups.made)
    for (const auto id : group) ++times[id];
  for (const auto& [id, n] : times) EXPECT_EQ(n, 1) << id;
}

TEST(Flatten, EndsForASnapshotterThatStacksOneLayer) {
  Groups groups;
  EXPECT_EQ(groups.flatten({1, 2, 3}, 1).size(), 1U);
}

// ---- merging ----

class Merge : public ::testing::Test {
 protected:
  void layer(const TarBuilder& tar) {
    layers.push_back(directory(std::to_string(layers.size())));
    testing::StringStream stream(tar.end());
    unpack(stream, open_file(layers.back(), O_RDONLY | O_DIRECTORY).get(), {"", "", trusted_overlay, {}}, ctx);
  }
  void merge() {
    const auto path = directory("merged");
    root = open_file(path, O_RDONLY | O_DIRECTORY);
    total = tree::merge_layers(layers, root.get(), trusted_overlay, ctx);
  }
  std::string directory(const std::string& name) {
    make_dirs(dir.path() + "/" + name);
    return dir.path() + "/" + name;
  }
  // "d f w" with a mark for each: directory, opaque directory, file, whiteout, link.
  std::string names(const std::string& path) {
    std::string all;
    const auto at = open_in_root(root.get(), path, O_RDONLY | O_DIRECTORY);
    for (const auto& name : sorted_names(at.get())) {
      const auto st = stat_at(at.get(), name);
      all += all.empty() ? name : " " + name;
      if (is_whiteout(st)) all += "-";
      if (S_ISLNK(st.st_mode)) all += "@";
      if (S_ISDIR(st.st_mode)) all += "/";
      for (const auto& [mark, value] : read_xattrs(at.get(), name))
        if (mark == "trusted.overlay.opaque") all += "!";
    }
    return all;
  }
  TempDir dir{"/dev/shm"};
  testing::FakeContext ctx;
  std::vector<std::string> layers;
  UniqueFd root;
  tree::Merged total;
};

TEST_F(Merge, ShowsOfEachNameTheTopmost) {
  layer(TarBuilder().dir("d").file("d/a", "low").file("d/b", "b").file("f", "low"));
  layer(TarBuilder().dir("d").file("d/a", "high").file("d/c", "c").symlink("l", "t"));
  layer(TarBuilder().file("f", "high"));
  merge();
  EXPECT_EQ(names("/"), "d/ f l@");
  EXPECT_EQ(names("/d"), "a b c");
  EXPECT_EQ(get_file(root.get(), "/d/a"), "high");
  EXPECT_EQ(get_file(root.get(), "/f"), "high");
  EXPECT_EQ(total.entries, 6U);
}

TEST_F(Merge, SharesFilesWithTheirLayers) {
  layer(TarBuilder().file("f", "data"));
  layer(TarBuilder().file("g", "data"));
  merge();
  EXPECT_EQ(stat_at(root.get(), "f").st_ino, stat_at(open_file(layers[0], O_PATH).get(), "f").st_ino);
  EXPECT_EQ(stat_at(root.get(), "g").st_ino, stat_at(open_file(layers[1], O_PATH).get(), "g").st_ino);
}

TEST_F(Merge, KeepsWhiteoutsForWhatLiesBelow) {
  layer(TarBuilder().file("f", "x").dir("d").file("d/g", "x"));
  layer(TarBuilder().file(".wh.f", "").dir("d").file("d/.wh.g", "").file(".wh.other", ""));
  merge();
  EXPECT_EQ(names("/"), "d/ f- other-");
  EXPECT_EQ(names("/d"), "g-");
}

TEST_F(Merge, HidesWhatAnOpaqueDirectoryHides) {
  layer(TarBuilder().dir("d").file("d/old", "x"));
  layer(TarBuilder().dir("d").file("d/.wh..wh..opq", "").file("d/new", "x"));
  layer(TarBuilder().dir("d").file("d/newer", "x"));
  merge();
  EXPECT_EQ(names("/"), "d/!");
  EXPECT_EQ(names("/d"), "new newer");
}

// Between the two there was a file, or nothing: what lies further down must not come back.
TEST_F(Merge, MakesADirectoryOpaqueThatIsMadeAnewOverSomethingElse) {
  layer(TarBuilder().dir("a").file("a/old", "x").file("b", "file"));
  layer(TarBuilder().file(".wh.a", ""));
  layer(TarBuilder().dir("a").file("a/new", "x").dir("b").file("b/new", "x"));
  merge();
  EXPECT_EQ(names("/"), "a/! b/!");
  EXPECT_EQ(names("/a"), "new");
  EXPECT_EQ(names("/b"), "new");
}

TEST_F(Merge, ReplacesADirectoryByAFile) {
  layer(TarBuilder().dir("d").file("d/f", "x"));
  layer(TarBuilder().file("d", "file"));
  merge();
  EXPECT_EQ(names("/"), "d");
}

TEST_F(Merge, GivesADirectoryTheAttributesOfTheTopmost) {
  layer(
      TarBuilder().add({.name = "d/", .type = '5', .mode = 0700, .uid = 1, .gid = 2, .mtime = 1000}).file("d/a", "x"));
  layer(TarBuilder().add({.name = "d/", .type = '5', .mode = 01750, .uid = 3, .gid = 4, .mtime = 2000}));
  layer(TarBuilder().file("other", "x"));
  merge();
  const auto st = stat_at(root.get(), "d");
  EXPECT_EQ(st.st_mode & 07777, 01750U);
  EXPECT_EQ(st.st_uid, 3U);
  EXPECT_EQ(st.st_gid, 4U);
  EXPECT_EQ(st.st_mtim.tv_sec, 2000);
  EXPECT_EQ(names("/d"), "a");
}

// ---- in the store ----

using LongStack = testing::StoreTest;

TEST_F(LongStack, IsShownWithNoMoreLayersThanTheSnapshotterCanStack) {
  snapshotter.max_stack = 4;
  reopen();
  Stack stack;
  for (int i = 0; i < 10; ++i) stack.push_back(layer_with("/f" + std::to_string(i), "x"));
  EXPECT_TRUE(store->view({stack.begin(), stack.begin() + 4}, ctx));
  EXPECT_EQ(snapshotter.last.stack.size(), 4U);
  const auto layers = store->usage().layers;
  EXPECT_EQ(layers, 10U) << "a stack that fits is left alone";

  EXPECT_TRUE(store->workspace(stack, {}, ctx));
  const auto shown = snapshotter.last.stack;
  ASSERT_LE(shown.size(), 4U);
  std::size_t files = 0;
  for (const auto& layer : shown)
    files += sorted_names(open_file(layer.places.front().path, O_RDONLY | O_DIRECTORY).get()).size();
  EXPECT_EQ(files, 10U);

  const auto merged = store->usage().layers;
  EXPECT_TRUE(store->view(stack, ctx));
  EXPECT_EQ(store->usage().layers, merged) << "what was merged once is found";
  reopen();
  EXPECT_TRUE(store->view(stack, ctx));
  EXPECT_EQ(snapshotter.last.stack.size(), shown.size());
  EXPECT_EQ(store->usage().layers, merged) << "also after a restart";
}

}  // namespace
}  // namespace dagger::store
