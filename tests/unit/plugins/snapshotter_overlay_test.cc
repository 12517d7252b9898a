// Real overlay mounts, by both ways of mounting; needs root.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <set>

#include "core/base/fs.h"
#include "plugins/snapshotter-overlay/snapshotter.h"
#include "tests/support/fake_host.h"

namespace dagger {
namespace {

using plugin::Layer;
using plugin::MountStub;
using plugin::ViewRequest;

std::string text_of(int root, const std::string& path) {
  return read_all(open_in_root(root, path, O_RDONLY).get(), 1 << 20);
}

struct stat stat_at(int dir, const std::string& path) {
  struct stat st{};
  if (::fstatat(dir, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(path);
  return st;
}

class Overlay : public ::testing::TestWithParam<const char*> {
 protected:
  std::string make_layer(const std::string& name) {
    const auto path = dir.path() + "/" + name;
    make_dirs(path);
    return path;
  }
  void put(const std::string& path, std::string_view text = "x") {
    make_dirs(parent_path(path));
    write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), text);
  }
  static Layer layer(const std::string& path) { return {path, {{plugin::form::overlay_trusted, path}}}; }
  std::unique_ptr<plugin::View> writable(std::vector<Layer> stack, std::vector<MountStub> stubs = {}) {
    workspace = dir.path() + "/workspace" + std::to_string(count++);
    if (::mkdir(workspace.c_str(), 0700) != 0) throw_errno(workspace);
    return snapshotter.open({std::move(stack), true, workspace, std::move(stubs)}, ctx);
  }
  std::unique_ptr<plugin::View> read_only(std::vector<Layer> stack) {
    return snapshotter.open({std::move(stack), false, {}, {}}, ctx);
  }
  std::vector<Layer> many(std::size_t count_of_layers, const std::string& parent = "many") {
    std::vector<Layer> stack;
    for (std::size_t i = 0; i < count_of_layers; ++i) {
      const auto path = make_layer(parent + "/" + std::to_string(i));
      put(path + "/top", std::to_string(i));
      put(path + "/only" + std::to_string(i));
      stack.push_back(layer(path));
    }
    return stack;
  }

  testing::FakeHost host;
  testing::FakeContext ctx;
  overlay::OverlaySnapshotter snapshotter{host, std::string(R"({"mount":")") + GetParam() + "\"}"};
  TempDir dir{"/dev/shm"};  // thousands of small files: memory keeps the tests short
  std::string workspace;
  int count = 0;
};

TEST_P(Overlay, LeavesNoMountInTheNamespaceOfTheProcess) {
  const auto before = read_file("/proc/self/mountinfo");
  const auto view = writable(many(2));
  EXPECT_TRUE(view->detached_mount());
  EXPECT_EQ(read_file("/proc/self/mountinfo"), before);
}

TEST_P(Overlay, StacksFiveHundredLayersWithTheLastOnTop) {
  const auto view = writable(many(500));
  EXPECT_EQ(text_of(view->root_fd(), "/top"), "499");
  EXPECT_EQ(text_of(view->root_fd(), "/only0"), "x");
}

TEST_P(Overlay, StacksLayersWhosePathsAreLong) {
  const auto view = writable(many(40, std::string(200, 'a') + "/" + std::string(200, 'b')));
  EXPECT_EQ(text_of(view->root_fd(), "/only7"), "x");
}

TEST_P(Overlay, StacksLayersWhosePathsHaveSpecialCharacters) {
  const auto view = writable(many(3, "a:b,c\\d"));
  EXPECT_EQ(text_of(view->root_fd(), "/only1"), "x");
}

TEST_P(Overlay, RefusesAStackThatIsTooLong) { EXPECT_THROW(writable(many(501)), Error); }

TEST_P(Overlay, RefusesALayerInAnotherForm) {
  const auto path = make_layer("user");
  EXPECT_THROW(writable({{"user", {{plugin::form::overlay_user, path}}}}), Error);
}

TEST_P(Overlay, SealsWhatWasWrittenAndDeleted) {
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

TEST_P(Overlay, KnowsThatNothingChanged) {
  EXPECT_TRUE(writable(many(2))->seal(ctx).empty);
  auto chmodded = writable(many(2));
  ASSERT_EQ(::fchmodat(chmodded->root_fd(), ".", 0700, 0), 0);
  EXPECT_FALSE(chmodded->seal(ctx).empty);
}

TEST_P(Overlay, GivesTheRootTheAttributesOfTheTopmostLayer) {
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

TEST_P(Overlay, OpensAnEmptyStack) {
  auto view = writable({});
  EXPECT_FALSE(view->detached_mount());
  EXPECT_EQ(stat_at(view->root_fd(), ".").st_mode & 07777, 0755U);
  ASSERT_EQ(::mkdirat(view->root_fd(), "made", 0755), 0);
  EXPECT_EQ(view->seal(ctx).entries, 1U);
  const auto nothing = read_only({});
  EXPECT_EQ(::mkdirat(nothing->root_fd(), "made", 0755), -1);
}

TEST_P(Overlay, ShowsOfALoneLayerItsObjectsButNotItsWhiteouts) {
  const auto path = make_layer("lone");
  put(path + "/kept");
  ASSERT_EQ(::mknod((path + "/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  const auto view = read_only({layer(path)});
  std::set<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> all(
      ::fdopendir(open_at(view->root_fd(), ".", O_RDONLY | O_DIRECTORY).release()), ::closedir);
  while (const dirent* e = ::readdir(all.get())) names.insert(e->d_name);
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "kept"}));
}

TEST_P(Overlay, RefusesToWriteAReadOnlyView) {
  const auto view = read_only(many(1));
  EXPECT_EQ(::mkdirat(view->root_fd(), "made", 0755), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_THROW(view->seal(ctx), Error);
}

TEST_P(Overlay, ShowsStubsThatAreInNoLayer) {
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

TEST_P(Overlay, ShowsStubsBelowLinksWhiteoutsAndOpaqueDirectories) {
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

TEST_P(Overlay, AddsStubsToTheLongestStack) {
  auto view = writable(many(500), {{"/proc", true}});
  EXPECT_EQ(text_of(view->root_fd(), "/only0"), "x");
  EXPECT_TRUE(S_ISDIR(stat_at(view->root_fd(), "proc").st_mode));
}

INSTANTIATE_TEST_SUITE_P(Ways, Overlay, ::testing::Values("new", "classic"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dagger
