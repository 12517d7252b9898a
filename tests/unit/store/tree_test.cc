#include <sys/sysmacros.h>

#include "core/store/tree/copy.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/tree_ops.h"
#include "tests/unit/store/fixture.h"

namespace dagger::store::tree {
namespace {

using testing::get_file;
using testing::put_file;
using Names = std::vector<std::string>;

class Tree : public ::testing::Test {
 protected:
  Tree() { put_file(outside.get(), "secret", "secret"); }
  UniqueFd make(const std::string& name) {
    dagger::make_dirs(dir.path() + "/" + name);
    return dagger::open_file(dir.path() + "/" + name, O_RDONLY | O_DIRECTORY);
  }
  void write(int root, const std::string& path, const std::string& data = "x", unsigned mode = 0644) {
    write_file(root, path, data, mode, {});
  }
  void copy_all(const std::string& from, const std::string& to, CopyOptions options = {}) {
    copy(source.get(), from, target.get(), to, options, ctx);
  }
  static Names names(const std::vector<ListEntry>& entries) {
    Names out;
    for (const auto& e : entries) out.push_back(e.name);
    return out;
  }
  Names globs(int root, const std::string& pattern, const std::string& path = "/") {
    return names(glob(root, path, pattern, ctx));
  }
  Names all(int root, const std::string& path = "/") { return globs(root, "**", path); }
  static Names entries(int root, const std::string& path) { return names(list(root, path)); }
  template <class F>
  std::string failure(F f) {
    try {
      f();
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  }

  TempDir dir{"/dev/shm"};
  UniqueFd source = make("source"), target = make("target"), outside = make("outside");
  testing::FakeContext ctx;
};

TEST_F(Tree, CopiesTheContentsOfADirectoryWithAllAttributes) {
  const int s = source.get();
  write_file(s, "/d/sub/f", "data", 04755, {true, 3, 4});
  change_owner(s, "/d/sub", {true, 5, 6}, ctx);
  make_symlink(s, "/nowhere", "/d/l");
  ASSERT_EQ(::fchownat(s, "d/l", 7, 8, AT_SYMLINK_NOFOLLOW), 0);
  ASSERT_EQ(::mknodat(s, "d/null", S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::mkfifoat(s, "d/pipe", 0600), 0);
  write_xattr(s, "d/sub", "user.k", "v");
  ASSERT_EQ(::linkat(s, "d/sub/f", s, "d/again", 0), 0);
  set_timestamps(s, 1234, ctx);
  copy_all("/d", "/x/y");
  const int t = target.get();
  EXPECT_EQ(all(t), (Names{"x", "x/y", "x/y/again", "x/y/l", "x/y/null", "x/y/pipe", "x/y/sub", "x/y/sub/f"}));
  EXPECT_EQ(get_file(t, "x/y/sub/f"), "data");
  EXPECT_EQ(stat_at(t, "x/y/sub/f").st_mode, S_IFREG | 04755U);
  EXPECT_EQ(stat_at(t, "x/y/sub/f").st_uid, 5U);
  EXPECT_EQ(stat_at(t, "x/y/sub/f").st_mtim.tv_sec, 1234);
  EXPECT_EQ(stat_at(t, "x/y/sub").st_mtim.tv_sec, 1234);
  EXPECT_EQ(stat_at(t, "x/y/sub").st_gid, 6U);
  EXPECT_EQ(read_xattrs(t, "x/y/sub"), (Xattrs{{"user.k", "v"}}));
  EXPECT_EQ(stat_at(t, "x/y/l").st_uid, 7U);
  EXPECT_EQ(read_link_at(t, "x/y/l"), "/nowhere");
  EXPECT_EQ(stat_at(t, "x/y/null").st_rdev, makedev(1, 3));
  EXPECT_EQ(stat_at(t, "x/y/again").st_ino, stat_at(t, "x/y/sub/f").st_ino);
  EXPECT_EQ(stat_at(t, "x/y").st_mode, S_IFDIR | 0755U);
}

TEST_F(Tree, SelectsWhatPatternsSelectAndMakesOnlyNeededDirectories) {
  for (const char* f : {"a.rar", "a.txt", "sub/b.rar", "sub/deep/c.txt", "other/d"}) write(source.get(), f);
  copy_all("/", "/1", {.include = {"*.rar"}});
  EXPECT_EQ(entries(target.get(), "1"), Names{"a.rar"});
  copy_all("/", "/2", {.include = {"**/*.txt"}});
  EXPECT_EQ(all(target.get(), "/2"), (Names{"a.txt", "sub", "sub/deep", "sub/deep/c.txt"}));
  copy_all("/", "/3", {.exclude = {"sub", "*.rar"}});
  EXPECT_EQ(all(target.get(), "/3"), (Names{"a.txt", "other", "other/d"}));
  copy_all("/sub", "/4", {.include = {"deep"}});
  EXPECT_EQ(all(target.get(), "/4"), (Names{"deep", "deep/c.txt"}));
}

TEST_F(Tree, MergesDirectoriesAndReplacesFiles) {
  write(source.get(), "d/new");
  write(source.get(), "d/both", "source");
  ASSERT_EQ(::fchmodat(source.get(), "d", 0711, 0), 0);
  write(target.get(), "t/old");
  write(target.get(), "t/both", "target");
  ASSERT_EQ(::fchmodat(target.get(), "t", 0700, 0), 0);
  copy_all("/d", "/t");
  EXPECT_EQ(entries(target.get(), "t"), (Names{"both", "new", "old"}));
  EXPECT_EQ(get_file(target.get(), "t/both"), "source");
  EXPECT_EQ(stat_at(target.get(), "t").st_mode & 07777, 0700U);
  copy_all("/d", "/u", {.contents = false});
  EXPECT_EQ(stat_at(target.get(), "u").st_mode & 07777, 0711U);
}

TEST_F(Tree, RefusesToPutAFileWhereADirectoryIsAndTheOtherWayRound) {
  write(source.get(), "d/x/f");
  write(target.get(), "t/x");
  EXPECT_THROW(copy_all("/d", "/t"), Error);
  write(source.get(), "e/y");
  write(target.get(), "u/y/f");
  EXPECT_THROW(copy_all("/e", "/u"), Error);
}

TEST_F(Tree, CopiesAFileUnderItsNewNameOrIntoADirectory) {
  write(source.get(), "f", "1", 0600);
  copy_all("/f", "/new/name", {.owner = Owner{true, 1, 2}, .mode = 0640, .must_be_file = true});
  EXPECT_EQ(stat_at(target.get(), "new/name").st_mode & 07777, 0640U);
  EXPECT_EQ(stat_at(target.get(), "new/name").st_gid, 2U);
  EXPECT_EQ(stat_at(target.get(), "new").st_uid, 1U);
  make_dir(target.get(), "/dir", 0755, {});
  copy_all("/f", "/dir", {.must_be_file = true});
  EXPECT_EQ(get_file(target.get(), "dir/f"), "1");
  EXPECT_EQ(failure([&] { copy_all("/missing", "/x"); }), "/missing: no such file or directory");
  EXPECT_EQ(failure([&] { copy_all("/", "/x", {.must_be_file = true}); }), "path / is a directory, not a file");
}

TEST_F(Tree, AppliesOwnerToAllThatIsCopied) {
  write(source.get(), "d/e/f");
  copy_all("/d", "/t", {.owner = Owner{true, 8, 9}});
  for (const char* p : {"t", "t/e", "t/e/f"}) EXPECT_EQ(stat_at(target.get(), p).st_gid, 9U) << p;
}

TEST_F(Tree, KeepsHoles) {
  const auto fd = open_at(source.get(), "sparse", O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::pwrite(fd.get(), "end", 3, 50 << 20), 3);
  copy_all("/sparse", "/sparse");
  EXPECT_EQ(stat_at(target.get(), "sparse").st_size, (50 << 20) + 3);
  EXPECT_LT(stat_at(target.get(), "sparse").st_blocks * 512, 1 << 20);
  const auto copied = open_file(target.get(), "/sparse");
  ASSERT_EQ(::lseek(copied.get(), 50 << 20, SEEK_SET), 50 << 20);
  EXPECT_EQ(read_all(copied.get(), 10), "end");
}

// Links that lead out of the roots, in every position of every operation.
TEST_F(Tree, StaysInsideItsRoots) {
  const std::string out = dir.path() + "/outside";
  for (const int root : {source.get(), target.get()}) {
    make_symlink(root, out, "/abs");
    make_symlink(root, "../outside", "/rel");
    make_symlink(root, "../../../../.." + out, "/far");
    make_symlink(root, out + "/secret", "/file");
  }
  for (const char* l : {"/abs", "/rel", "/far"}) {
    const std::string link = l;
    failure([&] { write(target.get(), link + "/new"); });
    failure([&] { make_dir(target.get(), link + "/newdir", 0755, {}); });
    failure([&] { remove(target.get(), link + "/secret", false); });
    failure([&] { remove(target.get(), link + "/*", true); });
    failure([&] { make_symlink(target.get(), "x", link + "/link"); });
    failure([&] { change_owner(target.get(), link + "/secret", {true, 9, 9}, ctx); });
    failure([&] { copy_all("/", link); });
    failure([&] { copy_all("/file", link + "/secret"); });
    EXPECT_NE(failure([&] { entries(source.get(), link + "/../outside/secret"); }), "");
    EXPECT_NE(failure([&] { open_file(source.get(), link + "/secret"); }), "");
  }
  failure([&] { write(target.get(), "/file", "changed"); });
  failure([&] { copy_all("/file", "/copied"); });
  failure([&] { write(target.get(), "/../../outside/new"); });
  change_owner(target.get(), "/", {true, 9, 9}, ctx);
  set_timestamps(target.get(), 1, ctx);
  EXPECT_EQ(entries(outside.get(), "/"), Names{"secret"});
  EXPECT_EQ(get_file(outside.get(), "secret"), "secret");
  EXPECT_EQ(stat_at(outside.get(), "secret").st_uid, 0U);
  EXPECT_GT(stat_at(outside.get(), "secret").st_mtim.tv_sec, 1);
}

TEST_F(Tree, WritesThroughALinkAndMakesParents) {
  write_file(target.get(), "/a/b/c", "1", 0640, {true, 1, 2});
  EXPECT_EQ(stat_at(target.get(), "a/b").st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(stat_at(target.get(), "a/b").st_uid, 0U);
  EXPECT_EQ(stat_at(target.get(), "a/b/c").st_mode, S_IFREG | 0640U);
  make_symlink(target.get(), "/a/b/c", "/l");
  make_symlink(target.get(), "../fresh/x", "/a/dangling");
  write(target.get(), "/l", "2");
  write(target.get(), "/a/dangling", "3");
  EXPECT_EQ(get_file(target.get(), "a/b/c"), "2");
  EXPECT_EQ(get_file(target.get(), "fresh/x"), "3");
  EXPECT_EQ(failure([&] { write(target.get(), "/a"); }), "path /a is a directory, not a file");
}

TEST_F(Tree, ReplacesADeviceInsteadOfWritingToIt) {
  ASSERT_EQ(::mkfifoat(target.get(), "pipe", 0600), 0);
  write(target.get(), "/pipe", "1");
  EXPECT_EQ(get_file(target.get(), "pipe"), "1");
}

TEST_F(Tree, MakesDirectoriesAndLeavesExistingOnesAlone) {
  make_dir(target.get(), "/a/b", 0500, {true, 3, 3});
  make_dir(target.get(), "/a/b", 0755, {});
  EXPECT_EQ(stat_at(target.get(), "a/b").st_mode & 07777, 0500U);
  EXPECT_EQ(stat_at(target.get(), "a/b").st_uid, 3U);
  make_dir(target.get(), "/", 0700, {});
  write(target.get(), "/f");
  EXPECT_EQ(failure([&] { make_dir(target.get(), "/f", 0755, {}); }), "path /f is a file, not a directory");
  EXPECT_NE(failure([&] { make_dir(target.get(), "/f/g", 0755, {}); }), "");
}

TEST_F(Tree, RemovesByNameAndByWildcard) {
  for (const char* f : {"a1", "a2", "b/x.txt", "b/y.md", "c/ba1c", "c/z", "[q]", "d/e/f", "d/e/g"})
    write(target.get(), f);
  make_symlink(target.get(), "b", "/link");
  const auto removed = [&](const std::string& path, bool wildcards = true) {
    remove(target.get(), path, wildcards);
    return all(target.get());
  };
  EXPECT_EQ(removed("/nothing/here").size(), 14U);
  EXPECT_EQ(removed("/nothing/*/x").size(), 14U);
  EXPECT_EQ(removed("a*"),
            (Names{"[q]", "b", "b/x.txt", "b/y.md", "c", "c/ba1c", "c/z", "d", "d/e", "d/e/f", "d/e/g", "link"}));
  EXPECT_EQ(removed("/b/*.txt").size(), 11U);
  EXPECT_EQ(removed("c/*a1*").size(), 10U);
  EXPECT_EQ(removed("[q]", false).size(), 9U);
  EXPECT_EQ(removed("d/*/f").size(), 8U);
  EXPECT_EQ(removed("l*/y.md").size(), 8U);  // a wildcard does not lead through links
  EXPECT_EQ(removed("link/y.md").size(), 7U);
  EXPECT_EQ(removed("/link").size(), 6U);
  EXPECT_EQ(removed("/d", false), (Names{"b", "c", "c/z"}));
  remove(target.get(), "/x/..", true);
  EXPECT_EQ(all(target.get()), (Names{"b", "c", "c/z"}));  // the root itself stays
}

TEST_F(Tree, NamesThePathInItsErrorsAsItWasGiven) {
  write(source.get(), "d/f");
  EXPECT_EQ(failure([&] { open_file(source.get(), "/bogus"); }), "/bogus: no such file or directory");
  EXPECT_EQ(failure([&] { open_file(source.get(), "/d/f/x"); }), "/d/f/x: no such file or directory");
  EXPECT_EQ(failure([&] { open_file(source.get(), "/d"); }), "path /d is a directory, not a file");
  EXPECT_FALSE(stat(source.get(), "/bogus", true));
  EXPECT_EQ(stat(source.get(), "/d", true)->type, EntryType::directory);
  EXPECT_EQ(failure([&] { entries(source.get(), "d/f"); }), "path d/f is a file, not a directory");
  make_symlink(source.get(), "b", "/a");
  make_symlink(source.get(), "a", "/b");
  EXPECT_NE(failure([&] { open_file(source.get(), "/a"); }), "");
}

TEST_F(Tree, FindsPathsByPattern) {
  for (const char* f : {"test.md", "foo/bar.md/x.md", "foo/bar.md/y.go", "foo/z.txt"}) write(source.get(), f);
  EXPECT_EQ(globs(source.get(), "*.md"), Names{"test.md"});
  EXPECT_EQ(globs(source.get(), "**/*.md"), (Names{"foo/bar.md", "foo/bar.md/x.md", "test.md"}));
  EXPECT_EQ(globs(source.get(), "**/*").size(), 6U);
}

TEST_F(Tree, FindsOwnersInTheTreesOwnFiles) {
  write(source.get(), "/etc/passwd", "root:x:0:0::/:\n#bad\nauser:x:1234:99::/:\nshort:x\n");
  write(source.get(), "/etc/group", "agroup:x:4321:\n");
  const int root = source.get();
  const auto ids = [root](const std::string& spec) {
    const Owner o = find_owner(root, spec);
    EXPECT_EQ(o.set, !spec.empty());
    return std::pair{o.uid, o.gid};
  };
  EXPECT_EQ(ids(""), (std::pair{0U, 0U}));
  EXPECT_EQ(ids("auser"), (std::pair{1234U, 1234U}));
  EXPECT_EQ(ids("auser:agroup"), (std::pair{1234U, 4321U}));
  EXPECT_EQ(ids("7"), (std::pair{7U, 7U}));
  EXPECT_EQ(ids("7:8"), (std::pair{7U, 8U}));
  EXPECT_EQ(ids("7:agroup"), (std::pair{7U, 4321U}));
  EXPECT_EQ(failure([&] { find_owner(root, "nobody"); }), "find uid: no such user: nobody");
  EXPECT_EQ(failure([&] { find_owner(root, "short"); }), "find uid: no such user: short");
  EXPECT_EQ(failure([&] { find_owner(root, "auser:none"); }), "find gid: no such group: none");
  EXPECT_EQ(failure([&] { find_owner(target.get(), "auser"); }), "find uid: no such user: auser");
}

}  // namespace
}  // namespace dagger::store::tree
