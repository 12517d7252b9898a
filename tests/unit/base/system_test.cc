// Files on paths from outside, and children.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <optional>

#include "core/base/fs.h"
#include "core/base/process.h"

namespace dagger {
namespace {

Code code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  return Code::internal;
}

TEST(Paths, AreCleanedAsText) {
  const std::pair<const char*, const char*> table[] = {{"", "/"},
                                                       {"/", "/"},
                                                       {"//", "/"},
                                                       {".", "/"},
                                                       {"..", "/"},
                                                       {"a", "/a"},
                                                       {"/a/", "/a"},
                                                       {"/a/../b//c/", "/b/c"},
                                                       {"/../../etc", "/etc"},
                                                       {"/a/./b", "/a/b"},
                                                       {"/a/b/../..", "/"},
                                                       {"/...", "/..."},
                                                       {"/a/..b", "/a/..b"}};
  for (const auto& [in, out] : table) EXPECT_EQ(clean_path(in), out) << in;
  EXPECT_EQ(join_path("/a", "b"), "/a/b");
  EXPECT_EQ(join_path("/a", "/b"), "/b");
  EXPECT_EQ(join_path("/a", "../.."), "/");
  EXPECT_EQ(base_name("/a/b/"), "b");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("/a/b"), "/a");
}

class Files : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_.path() + "/" + name; }
  TempDir dir_;
};

TEST_F(Files, CannotBeReachedOutsideOfARoot) {
  make_dirs(path("root/in"));
  write_file_atomically(path("secret"), "outside");
  write_file_atomically(path("root/secret"), "inside");
  ASSERT_EQ(::symlink("../../secret", path("root/in/up").c_str()), 0);
  ASSERT_EQ(::symlink(path("secret").c_str(), path("root/abs").c_str()), 0);
  ASSERT_EQ(::symlink("/secret", path("root/rooted").c_str()), 0);
  ASSERT_EQ(::symlink("/proc/self/root", path("root/magic").c_str()), 0);
  const auto root = open_file(path("root"), O_RDONLY | O_DIRECTORY);
  const auto read = [&](const char* p) { return read_all(open_in_root(root.get(), p, O_RDONLY).get(), 100); };
  EXPECT_EQ(read("../secret"), "inside");
  EXPECT_EQ(read("/in/../../../secret"), "inside");
  EXPECT_EQ(read("in/up"), "inside");
  EXPECT_EQ(read("rooted"), "inside");
  EXPECT_EQ(code_of([&] { read("abs"); }), Code::not_found);
  EXPECT_EQ(code_of([&] { read("magic/etc/passwd"); }), Code::not_found);
  EXPECT_EQ(code_of([&] { open_in_root_nofollow(root.get(), "rooted", O_RDONLY); }), Code::invalid_argument);
}

TEST_F(Files, DirectoriesAreMadeInsideOfARootOnly) {
  make_dirs(path("root"));
  ASSERT_EQ(::symlink("/", path("root/top").c_str()), 0);
  const auto root = open_file(path("root"), O_RDONLY | O_DIRECTORY);
  (void)make_dirs_in_root(root.get(), "/a/b/../c");
  (void)make_dirs_in_root(root.get(), "../../top/d/e");
  EXPECT_TRUE(exists(path("root/a/c")));
  EXPECT_TRUE(exists(path("root/d/e")));
  write_file_atomically(path("root/file"), "");
  EXPECT_THROW((void)make_dirs_in_root(root.get(), "file/x"), Error);
}

TEST_F(Files, AreReadUpToALimitAndReplacedWhole) {
  write_file_atomically(path("f"), "old");
  write_file_atomically(path("f"), "12345", 0600);
  EXPECT_EQ(read_file(path("f")), "12345");
  EXPECT_EQ(code_of([&] { read_file(path("f"), 4); }), Code::no_space);
  EXPECT_EQ(code_of([&] { read_file(path("none")); }), Code::not_found);
}

TEST_F(Files, InASealedMemoryFileCannotChange) {
  const auto fd = sealed_memfd("value", "test");
  EXPECT_EQ(read_all(fd.get(), 10), "value");
  EXPECT_EQ(::write(fd.get(), "x", 1), -1);
  EXPECT_EQ(::ftruncate(fd.get(), 0), -1);
}

TEST_F(Files, TreesAreRemovedWithoutFollowingLinks) {
  make_dirs(path("keep"));
  write_file_atomically(path("keep/f"), "x");
  make_dirs(path("tree/a/b"));
  ASSERT_EQ(::symlink("../../keep", path("tree/a/link").c_str()), 0);
  for (int i = 0; i < 300; ++i) write_file_atomically(path("tree/a/b/") + std::to_string(i), "");
  ASSERT_EQ(::chmod(path("tree/a/b").c_str(), 0), 0);
  remove_tree(path("tree"));
  remove_tree(path("tree"));  // missing: no error
  EXPECT_FALSE(exists(path("tree")));
  EXPECT_TRUE(exists(path("keep/f")));
  ASSERT_EQ(::symlink("keep", path("link").c_str()), 0);
  remove_tree(path("link"));
  EXPECT_TRUE(exists(path("keep/f")));
}

TEST_F(Files, TreesOfAnyDepthAreRemoved) {
  make_dirs(path("tree/.deep-0/x"));  // a name that the removal itself would use
  write_file_atomically(path("tree/.deep-1"), "");
  {
    auto at = open_file(path("tree"), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 800; ++i) {
      ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
      at = open_at(at.get(), "d", O_RDONLY | O_DIRECTORY);
    }
  }
  remove_tree(path("tree"));
  EXPECT_FALSE(exists(path("tree")));
}

TEST_F(Files, TreesAreNotRemovedThroughAMount) {
  make_dirs(path("tree/mnt"));
  if (::mount("none", path("tree/mnt").c_str(), "tmpfs", 0, nullptr) != 0) GTEST_SKIP() << "may not mount here";
  write_file_atomically(path("tree/mnt/precious"), "x");
  EXPECT_EQ(code_of([&] { remove_tree(path("tree")); }), Code::unavailable);
  EXPECT_TRUE(exists(path("tree/mnt/precious")));
  ::umount2(path("tree/mnt").c_str(), MNT_DETACH);
}

// ---- children

class Children : public ::testing::Test {
 protected:
  static SpawnRequest shell(std::string script) {
    SpawnRequest r;
    r.argv = {"/bin/sh", "-c", std::move(script)};
    r.env = {"NAME=value"};
    return r;
  }
  struct Pipe {
    Pipe() {
      int fds[2];
      if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("pipe");
      out.reset(fds[0]), in.reset(fds[1]);
    }
    UniqueFd out, in;
  };
  std::string output(SpawnRequest r) {
    Pipe p;
    r.stdio[1] = p.in.get();
    Child c = spawner_.spawn(r);
    p.in.reset();
    std::string text = read_all(p.out.get(), 1 << 16);
    c.wait();
    return text;
  }
  Spawner spawner_;
};

TEST_F(Children, EndWithACodeOrASignal) {
  auto c = spawner_.spawn(shell("exit 7"));
  auto s = c.wait();
  EXPECT_TRUE(s.exited);
  EXPECT_EQ(s.code, 7);
  auto k = spawner_.spawn(shell("kill -TERM $$; exit 1"));
  s = k.wait();
  EXPECT_FALSE(s.exited);
  EXPECT_EQ(s.code, SIGTERM);
}

TEST_F(Children, ThatDoNotExistAreNotFound) {
  SpawnRequest r;
  r.argv = {"/no/such/program"};
  EXPECT_EQ(code_of([&] { spawner_.spawn(r); }), Code::not_found);
  r = shell("true");
  r.cwd = "/no/such/directory";
  EXPECT_EQ(code_of([&] { spawner_.spawn(r); }), Code::not_found);
}

TEST_F(Children, GetTheirEnvironmentAndDirectoryAndNothingElse) {
  auto r = shell("echo $NAME; pwd; env | wc -l");
  r.cwd = "/usr";
  const std::string text = output(r);
  EXPECT_EQ(text.substr(0, text.find('\n')), "value");
  EXPECT_NE(text.find("/usr\n"), std::string::npos);
}

TEST_F(Children, InheritOnlyTheFdsTheyAreGiven) {
  const UniqueFd leak(::open("/dev/zero", O_RDONLY));  // no O_CLOEXEC
  EXPECT_EQ(output(shell("ls /proc/$$/fd; true")), "0\n1\n2\n");
  auto r = shell("cat <&3; cat <&4");
  Pipe a, b;
  write_all(a.in.get(), "a");
  write_all(b.in.get(), "b");
  a.in.reset(), b.in.reset();
  r.keep = {b.out.get(), a.out.get()};
  EXPECT_EQ(output(r), "ba");
}

TEST_F(Children, AreKilledAndReapedWhenDropped) {
  pid_t pid = 0;
  {
    const auto c = spawner_.spawn(shell("sleep 1000"));
    pid = c.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

constexpr const char* show_inherited =
    "umask; ulimit -n; for f in 3 9; do (: <&$f) 2> /dev/null && echo $f; "
    "done; pwd";

TEST_F(Children, GetWhatThisProcessGot) {
  Inherited got;
  got.umask = 027;
  ::sigaddset(&got.blocked, SIGUSR1);
  ::sigaddset(&got.ignored, SIGUSR2);
  const auto file = open_file("/dev/null", O_RDONLY);
  const UniqueFd nine(::fcntl(file.get(), F_DUPFD_CLOEXEC, 9));
  ASSERT_EQ(nine.get(), 9);
  got.files = {9};
  auto request = shell(show_inherited);
  request.inherited = &got;
  request.cwd = ".";
  char cwd[4096];
  ASSERT_NE(::getcwd(cwd, sizeof cwd), nullptr);
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const auto limit = std::to_string(files.rlim_cur);
  EXPECT_EQ(output(request), "0027\n" + limit + "\n9\n" + cwd + "\n");
  EXPECT_EQ(output(shell(show_inherited)), "0022\n" + limit + "\n/\n");
  request.argv = {"/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status"};  // a shell changes the first
  EXPECT_EQ(output(request), "SigBlk:\t0000000000000200\nSigIgn:\t0000000000000800\n");
  request.inherited = nullptr;
  EXPECT_EQ(output(request), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(Children, DieWithTheirSpawner) {
  std::optional<Spawner> mine(std::in_place);
  auto c = mine->spawn(shell("exec sleep 1000"));
  mine.reset();
  pollfd p{c.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&p, 1, 10'000), 1);
  EXPECT_EQ(c.wait().code, SIGKILL);
}

TEST_F(Children, AreFoundInASearchPath) {
  EXPECT_EQ(find_program("sh", "/nowhere:/bin"), "/bin/sh");
  EXPECT_EQ(find_program("/bin/sh", ""), "/bin/sh");
  EXPECT_EQ(find_program("sh", "/nowhere"), "");
  EXPECT_EQ(find_program("tmp", "/"), "");  // a directory
}

}  // namespace
}  // namespace dagger
