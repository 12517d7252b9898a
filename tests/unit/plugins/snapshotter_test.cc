// What every snapshotter does that stacks directories: by the kernel, in both ways of mounting, and by fuse-overlayfs.
// Real mounts; needs root.
#include <dirent.h>

#include <set>

#include "tests/unit/plugins/layer_fixture.h"

namespace dagger::testing {
namespace {

class Snapshotters : public LayerFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  Snapshotters() : LayerFixture(GetParam()) {}
  std::size_t most() const { return snapshotter->traits().max_stack; }
};

TEST_P(Snapshotters, LeavesNoMountInTheNamespaceOfTheProcess) {
  const auto before = read_file("/proc/self/mountinfo");
  const auto view = writable(many(2));
  EXPECT_TRUE(view->detached_mount());
  EXPECT_EQ(read_file("/proc/self/mountinfo"), before);
}

TEST_P(Snapshotters, StacksHundredsOfLayersWithTheLastOnTop) {
  EXPECT_GE(most(), 200U);
  const auto view = writable(many(most()));
  EXPECT_EQ(text_of(view->root_fd(), "/top"), std::to_string(most() - 1));
  EXPECT_EQ(text_of(view->root_fd(), "/only0"), "x");
}

TEST_P(Snapshotters, StacksLayersWhosePathsAreLong) {
  const auto view = writable(many(40, std::string(200, 'a') + "/" + std::string(200, 'b')));
  EXPECT_EQ(text_of(view->root_fd(), "/only7"), "x");
}

TEST_P(Snapshotters, StacksLayersWhosePathsHaveSpecialCharacters) {
  const auto view = writable(many(3, "a:b,c\\d"));
  EXPECT_EQ(text_of(view->root_fd(), "/only1"), "x");
}

TEST_P(Snapshotters, RefusesAStackThatIsTooLong) { EXPECT_THROW(writable(many(most() + 1)), Error); }

TEST_P(Snapshotters, RefusesALayerInAnotherForm) {
  const auto path = make_layer("user");
  EXPECT_THROW(writable({{"user", {{plugin::form::overlay_user, path}}}}), Error);
}

TEST_P(Snapshotters, SealsWhatWasWrittenAndDeleted) {
  const auto base = make_layer("base");
  put(base + "/kept");
  put(base + "/gone");
  auto view = writable({layer(base)});
  {
    const auto fd = open_at(view->root_fd(), "new", O_WRONLY | O_CREAT, 0644);
    write_all(fd.get(), std::string(10000, 'n'));
    ASSERT_EQ(::unlinkat(view->root_fd(), "gone", 0), 0);
  }
  const auto sealed = view->seal(ctx);
  EXPECT_EQ(sealed.form, plugin::form::overlay_trusted);
  EXPECT_EQ(sealed.path.compare(0, workspace.size(), workspace), 0);
  EXPECT_FALSE(sealed.empty);
  EXPECT_EQ(sealed.entries, 2U);
  EXPECT_GE(sealed.bytes, 10000U);
  const auto whiteout = stat_at(AT_FDCWD, sealed.path + "/gone");
  EXPECT_TRUE(S_ISCHR(whiteout.st_mode));
  EXPECT_EQ(whiteout.st_rdev, makedev(0, 0));
  const auto again = read_only({layer(base), layer(sealed.path)});
  EXPECT_THROW(text_of(again->root_fd(), "/gone"), Error);
  EXPECT_EQ(text_of(again->root_fd(), "/kept"), "x");
}

TEST_P(Snapshotters, KnowsThatNothingChanged) {
  EXPECT_TRUE(writable(many(2))->seal(ctx).empty);
  auto chmodded = writable(many(2));
  ASSERT_EQ(::fchmodat(chmodded->root_fd(), ".", 0700, 0), 0);
  EXPECT_FALSE(chmodded->seal(ctx).empty);
}

TEST_P(Snapshotters, GivesTheRootTheAttributesOfTheTopmostLayer) {
  auto stack = many(2);
  ASSERT_EQ(::chmod(stack[1].id.c_str(), 01751), 0);
  ASSERT_EQ(::chown(stack[1].id.c_str(), 3, 4), 0);
  for (const bool rw : {false, true}) {
    const auto view = rw ? writable(stack, {{"/stub", true}}) : read_only(stack);
    const auto st = stat_at(view->root_fd(), ".");
    EXPECT_EQ(st.st_mode & 07777, 01751U);
    EXPECT_EQ(st.st_uid, 3U);
    EXPECT_EQ(st.st_gid, 4U);
  }
}

TEST_P(Snapshotters, OpensAnEmptyStack) {
  auto view = writable({});
  EXPECT_FALSE(view->detached_mount());
  EXPECT_EQ(stat_at(view->root_fd(), ".").st_mode & 07777, 0755U);
  ASSERT_EQ(::mkdirat(view->root_fd(), "made", 0755), 0);
  EXPECT_EQ(view->seal(ctx).entries, 1U);
  const auto nothing = read_only({});
  EXPECT_EQ(::mkdirat(nothing->root_fd(), "made", 0755), -1);
}

TEST_P(Snapshotters, ShowsOfALoneLayerItsObjectsButNotItsWhiteouts) {
  const auto path = make_layer("lone");
  put(path + "/kept");
  ASSERT_EQ(::mknod((path + "/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  const auto view = read_only({layer(path)});
  std::set<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> all(
      ::fdopendir(open_at(view->root_fd(), ".", O_RDONLY | O_DIRECTORY).release()), ::closedir);
  while (const dirent* e = ::readdir(all.get())) names.insert(e->d_name);
  names.erase("..");  // not every file system tells it for its root
  EXPECT_EQ(names, (std::set<std::string>{".", "kept"}));
}

TEST_P(Snapshotters, RefusesToWriteAReadOnlyView) {
  const auto view = read_only(many(1));
  EXPECT_EQ(::mkdirat(view->root_fd(), "made", 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_THROW(view->seal(ctx), Error);
}

TEST_P(Snapshotters, ShowsStubsThatAreInNoLayer) {
  const auto base = make_layer("base");
  put(base + "/etc/hosts", "own");
  const timespec old[] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (base + "/etc").c_str(), old, 0), 0);
  ASSERT_EQ(::chmod((base + "/etc").c_str(), 0711), 0);
  auto view =
      writable({layer(base)}, {{"/proc", true}, {"/etc/hosts", false}, {"/etc/resolv.conf", false}, {"/a/b/c", true}});
  EXPECT_EQ(text_of(view->root_fd(), "/etc/hosts"), "own");
  EXPECT_EQ(text_of(view->root_fd(), "/etc/resolv.conf"), "");
  EXPECT_TRUE(S_ISDIR(stat_at(view->root_fd(), "a/b/c").st_mode));
  EXPECT_EQ(stat_at(view->root_fd(), "etc").st_mode & 07777, 0711U);
  EXPECT_EQ(stat_at(view->root_fd(), "etc").st_mtime, 1000);
  EXPECT_TRUE(view->seal(ctx).empty);
}

TEST_P(Snapshotters, ShowsStubsBelowLinksWhiteoutsAndOpaqueDirectories) {
  const auto base = make_layer("base"), above = make_layer("above");
  make_dirs(base + "/run");
  put(base + "/etc/old");
  put(base + "/secret");
  make_dirs(base + "/var");
  ASSERT_EQ(::symlink("/run", (base + "/var/run").c_str()), 0);
  ASSERT_EQ(::mknod((above + "/secret").c_str(), S_IFCHR, makedev(0, 0)), 0);
  make_dirs(above + "/etc");
  ASSERT_EQ(::setxattr((above + "/etc").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  const timespec old[] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::chmod((above + "/etc").c_str(), 0711), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (above + "/etc").c_str(), old, 0), 0);
  auto view = writable({layer(base), layer(above)},
                       {{"/etc/hosts", false}, {"/secret", false}, {"/var/run/deep/socket", false}});
  EXPECT_EQ(text_of(view->root_fd(), "/etc/hosts"), "");
  EXPECT_EQ(text_of(view->root_fd(), "/secret"), "");
  EXPECT_EQ(text_of(view->root_fd(), "/run/deep/socket"), "");
  EXPECT_THROW(stat_at(view->root_fd(), "etc/old"), Error);
  EXPECT_EQ(stat_at(view->root_fd(), "etc").st_mode & 07777, 0711U);
  EXPECT_EQ(stat_at(view->root_fd(), "etc").st_mtime, 1000);
  EXPECT_TRUE(view->seal(ctx).empty);
}

TEST_P(Snapshotters, AddsStubsToTheLongestStack) {
  auto view = writable(many(most()), {{"/proc", true}});
  EXPECT_EQ(text_of(view->root_fd(), "/only0"), "x");
  EXPECT_TRUE(S_ISDIR(stat_at(view->root_fd(), "proc").st_mode));
}

INSTANTIATE_TEST_SUITE_P(All, Snapshotters, ::testing::Values("new", "classic", "fuse"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dagger::testing
