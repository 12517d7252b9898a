// Directories of the client's machine: reading them, and writing back what a hostile stream may hold.
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/session/credentials.h"
#include "core/session/host/export.h"
#include "core/session/host/paths.h"
#include "core/session/host/walk.h"
#include "tests/unit/session/fake_runner.h"

namespace dagger::session {
namespace {

void listen_at(const std::string& path) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

class Walking : public ::testing::Test {
 protected:
  std::shared_ptr<const HostTree> read(std::vector<std::string> include = {}, std::vector<std::string> exclude = {}) {
    std::shared_ptr<const HostTree> tree;
    std::exception_ptr failure;
    TaskGroup group(loop);
    group.spawn(read_into(std::move(include), std::move(exclude), tree, failure));
    loop.run();
    if (failure) std::rethrow_exception(failure);
    return tree;
  }
  Task<void> read_into(std::vector<std::string> include, std::vector<std::string> exclude,
                       std::shared_ptr<const HostTree>& tree, std::exception_ptr& failure) {
    const auto patterns = std::make_shared<const dag::Patterns>(include, exclude);
    try {
      tree = co_await walk(loop, pool, 3, dir.path(), patterns, CancelToken());
    } catch (...) {
      failure = std::current_exception();
    }
    loop.stop();
  }
  void put(const std::string& path, const std::string& text) {
    make_dirs(parent_path(dir.path() + "/" + path));
    write_file_atomically(dir.path() + "/" + path, text);
  }
  static std::string listing(const HostTree& tree, const Digest& node, const std::string& prefix = "") {
    std::string all;
    for (const auto& entry : store::decode_node(tree.nodes.at(node)).entries) {
      all += prefix + entry.name + "\n";
      if (entry.type == store::EntryType::directory) all += listing(tree, entry.content, prefix + entry.name + "/");
    }
    return all;
  }

  TempDir dir;
  Loop loop;
  Pool pool{"walk", 3};
};

TEST_F(Walking, DescribesWhatIsThereInTheSameWayEachTime) {
  put("a/b/c.txt", "hello");
  put("a/empty", "");
  put("z", "last");
  ASSERT_EQ(::symlink("/etc/passwd", (dir.path() + "/link").c_str()), 0);
  ASSERT_EQ(::chmod((dir.path() + "/z").c_str(), 04755), 0);
  const auto tree = read();
  EXPECT_EQ(listing(*tree, tree->root), "a\na/b\na/b/c.txt\na/empty\nlink\nz\n");
  EXPECT_EQ(read()->root, tree->root);
  const auto top = store::decode_node(tree->nodes.at(tree->root));
  EXPECT_EQ(top.entries[1].target, "/etc/passwd");
  EXPECT_EQ(top.entries[2].mode, 04755U);
  EXPECT_EQ(top.entries[2].uid, 0U);
  EXPECT_EQ(top.entries[2].content, Digest::of("last"));
  EXPECT_EQ(tree->file(Digest::of("hello")).value().path, "a/b/c.txt");
  put("z", "other");
  EXPECT_NE(read()->root, tree->root);
}

TEST_F(Walking, LeavesOutWhatPatternsAndTypesExclude) {
  put("keep.txt", "1");
  put("sub/keep.txt", "2");
  put("sub/no.bin", "3");
  put("other/no.bin", "4");
  for (const char* name : {"/socket", "/sub/socket", "/other/a.sock"}) listen_at(dir.path() + name);
  const auto all = read();
  EXPECT_EQ(listing(*all, all->root).find("socket"), std::string::npos);
  EXPECT_EQ(all->left_out.count, 3U);
  EXPECT_EQ(all->left_out.first, "other/a.sock");
  EXPECT_TRUE(S_ISSOCK(all->left_out.mode));
  const auto some = read({"**/*.txt"}, {});
  EXPECT_EQ(listing(*some, some->root), "keep.txt\nsub\nsub/keep.txt\n");
  const auto others = read({}, {"sub", "other/*"});
  EXPECT_EQ(listing(*others, others->root), "keep.txt\nother\n");
  EXPECT_EQ(others->left_out.count, 1U) << "what patterns leave out is no surprise";
}

TEST_F(Walking, SurvivesDepth) {
  std::string path = "d";
  for (int i = 0; i < 300; ++i) path += "/d";
  put(path + "/f", "deep");
  EXPECT_EQ(read()->nodes.size(), 302U);
}

TEST(HostPath, StaysInTheWorkdirUnlessAbsolute) {
  EXPECT_EQ(host_path("/w", "."), "/w");
  EXPECT_EQ(host_path("/w", "a/../b"), "/w/b");
  EXPECT_EQ(host_path("/w", "/etc/../x"), "/x");
  for (const char* out : {"..", "../", "a/../../b", "./.."}) EXPECT_THROW(host_path("/w", out), Error) << out;
}

TEST(HostPath, HoldsNoZeroByte) {
  for (const auto& path : {std::string("/etc/a\0b", 8), std::string("a\0/b", 4)}) {
    EXPECT_THROW(host_path("/w", path), Error);
  }
}

// A tar with what the test adds.
class Tar {
 public:
  Tar() : archive_(::archive_write_new()) {
    ::archive_write_set_format_pax_restricted(archive_);
    ::archive_write_open(archive_, this, nullptr, &Tar::append, nullptr);
  }
  ~Tar() { ::archive_write_free(archive_); }
  Tar(const Tar&) = delete;
  Tar& operator=(const Tar&) = delete;
  void add(const std::string& name, mode_t type, const std::string& text, mode_t mode = 0644) {
    auto* const entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, name.c_str());
    ::archive_entry_set_filetype(entry, type);
    ::archive_entry_set_perm(entry, mode);
    ::archive_entry_set_mtime(entry, 1000, 5);
    if (type == AE_IFLNK) ::archive_entry_set_symlink(entry, text.c_str());
    ::archive_entry_set_size(entry, type == AE_IFREG ? static_cast<la_int64_t>(text.size()) : 0);
    ::archive_write_header(archive_, entry);
    if (type == AE_IFREG) ::archive_write_data(archive_, text.data(), text.size());
    ::archive_entry_free(entry);
  }
  void add_hard_link(const std::string& name, const std::string& other) {
    auto* const entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, name.c_str());
    ::archive_entry_set_hardlink(entry, other.c_str());
    ::archive_write_header(archive_, entry);
    ::archive_entry_free(entry);
  }
  std::string bytes() {
    ::archive_write_close(archive_);
    return bytes_;
  }

 private:
  static la_ssize_t append(archive*, void* self, const void* data, std::size_t size) {
    static_cast<Tar*>(self)->bytes_.append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  }
  archive* archive_;
  std::string bytes_;
};

class Exporting : public ::testing::Test {
 protected:
  void unpack(Tar& tar) {
    FakeStream stream(tar.bytes());
    unpack_directory(stream, target);
  }
  TempDir dir;
  std::string target = dir.path() + "/target";
};

TEST_F(Exporting, LaysTheTreeOverWhatIsThere) {
  make_dirs(target + "/d");
  write_file_atomically(target + "/d/mine", "mine");
  write_file_atomically(target + "/d/old", "old");
  Tar tar;
  tar.add("./d", AE_IFDIR, "", 0755);
  tar.add("d/old", AE_IFREG, "new", 0744);
  tar.add("new", AE_IFDIR, "", 0500);
  tar.add("new/f", AE_IFREG, "text");
  tar.add("new/link", AE_IFLNK, "f");
  tar.add_hard_link("hard", "d/old");
  unpack(tar);
  EXPECT_EQ(dagger::read_file(target + "/d/mine"), "mine");
  EXPECT_EQ(dagger::read_file(target + "/d/old"), "new");
  EXPECT_EQ(dagger::read_file(target + "/new/link"), "text");
  EXPECT_EQ(dagger::read_file(target + "/hard"), "new");
  struct stat st{};
  ASSERT_EQ(::stat((target + "/d/old").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0744U);
  EXPECT_EQ(st.st_mtim.tv_sec, 1000);
  ASSERT_EQ(::stat((target + "/new").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0500U);
}

TEST_F(Exporting, WritesNothingOutsideItsTarget) {
  make_dirs(dir.path() + "/outside");
  const auto outside_is_empty = [this] {
    return !exists(dir.path() + "/outside/x") && !exists(dir.path() + "/x") && !exists("/x-from-export-test");
  };
  {
    Tar tar;
    tar.add("../x", AE_IFREG, "evil");
    EXPECT_THROW(unpack(tar), Error);
  }
  {
    Tar tar;
    tar.add("/x-from-export-test", AE_IFREG, "stays inside");
    unpack(tar);
    EXPECT_TRUE(exists(target + "/x-from-export-test"));
  }
  {
    Tar tar;  // through a link of its own
    tar.add("link", AE_IFLNK, dir.path() + "/outside");
    tar.add("link/x", AE_IFREG, "evil");
    try {
      unpack(tar);
    } catch (const Error&) {
    }
  }
  {
    Tar tar;  // through a link that was there
    ASSERT_EQ(::symlink("../outside", (target + "/there").c_str()), 0);
    tar.add("there/x", AE_IFREG, "evil");
    try {
      unpack(tar);
    } catch (const Error&) {
    }
  }
  {
    Tar tar;
    write_file_atomically(dir.path() + "/secret", "s");
    tar.add_hard_link("stolen", "../secret");
    EXPECT_THROW(unpack(tar), Error);
  }
  EXPECT_TRUE(outside_is_empty());
  FakeStream garbage("this is no tar");
  EXPECT_THROW(unpack_directory(garbage, target), Error);
}

TEST_F(Exporting, PutsAFileWhereItIsAskedTo) {
  Tar tar;
  tar.add("name-in-tree", AE_IFREG, "text", 0744);
  FakeStream stream(tar.bytes());
  unpack_file(stream, target + "/deep/out");
  EXPECT_EQ(dagger::read_file(target + "/deep/out"), "text");
  struct stat st{};
  ASSERT_EQ(::stat((target + "/deep").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0700U);
  EXPECT_THROW(file_target(target + "/deep", "f", false), Error);
  EXPECT_EQ(file_target(target + "/deep", "f", true), target + "/deep/f");
  EXPECT_EQ(file_target(target + "/none", "f", true), target + "/none");
}

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

TEST_F(Exporting, ReplacesRegularFilesOnly) {
  make_dirs(target);
  ASSERT_EQ(::mkfifo((target + "/fifo").c_str(), 0600), 0);
  listen_at(target + "/socket");
  EXPECT_EQ(error_of([&] { file_target(target + "/fifo", "f", false); }),
            "destination \"" + target + "/fifo\" is a fifo; export writes regular files only");
  EXPECT_EQ(error_of([&] { file_target(target, "socket", true); }),
            "destination \"" + target + "/socket\" is a socket; export writes regular files only");
  EXPECT_EQ(error_of([&] { file_target("/dev/null", "f", false); }),
            "destination \"/dev/null\" is a character device; export writes regular files only");
  for (const char* name : {"fifo", "socket"}) {
    Tar tar;
    tar.add("f", AE_IFREG, "text");
    FakeStream stream(tar.bytes());
    EXPECT_THROW(unpack_file(stream, target + "/" + name), Error) << "it came to be while the file was on its way";
  }
  struct stat st{};
  ASSERT_EQ(::lstat((target + "/fifo").c_str(), &st), 0);
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
  ASSERT_EQ(::lstat((target + "/socket").c_str(), &st), 0);
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
}

TEST_F(Exporting, FollowsALinkToAFileAndReplacesOneThatLeadsNowhere) {
  make_dirs(target + "/real");
  write_file_atomically(target + "/real/file", "old");
  ASSERT_EQ(::symlink("real/file", (target + "/link").c_str()), 0);
  ASSERT_EQ(::symlink("real/none", (target + "/dangling").c_str()), 0);
  ASSERT_EQ(::symlink("loop", (target + "/loop").c_str()), 0);
  ASSERT_EQ(::symlink("/dev/null", (target + "/null").c_str()), 0);
  EXPECT_EQ(file_target(target + "/link", "f", false), target + "/real/file");
  EXPECT_EQ(file_target(target + "/dangling", "f", false), target + "/dangling");
  EXPECT_NE(error_of([&] { file_target(target + "/loop", "f", false); }).find("symbolic links"), std::string::npos);
  EXPECT_NE(error_of([&] { file_target(target + "/null", "f", false); }).find("character device"), std::string::npos);
  Tar tar;
  tar.add("f", AE_IFREG, "text");
  FakeStream stream(tar.bytes());
  unpack_file(stream, target + "/dangling");
  EXPECT_EQ(dagger::read_file(target + "/dangling"), "text");
  EXPECT_FALSE(exists(target + "/real/none"));
}

TEST_F(Exporting, LeavesAloneWhatADirectoryCannotReplace) {
  make_dirs(target + "/directory");
  ASSERT_EQ(::mkfifo((target + "/fifo").c_str(), 0600), 0);
  listen_at(target + "/socket");
  write_file_atomically(target + "/file", "mine");
  ASSERT_EQ(::symlink("../..", (target + "/out").c_str()), 0);
  ASSERT_EQ(::symlink("directory", (target + "/in").c_str()), 0);
  const auto error = [this](const char* name, mode_t type) {
    Tar tar;
    tar.add(name, type, "text");
    return error_of([&] { unpack(tar); });
  };
  const auto at = "destination \"" + target;
  EXPECT_EQ(error_of([&] {
              FakeStream nothing("");
              unpack_directory(nothing, target + "/fifo");
            }),
            at + "/fifo\" is a fifo; a directory is exported into a directory only");
  EXPECT_EQ(error("fifo", AE_IFREG), at + "/fifo\" is a fifo; export writes regular files only");
  EXPECT_EQ(error("socket", AE_IFLNK), at + "/socket\" is a socket; export writes regular files only");
  EXPECT_EQ(error("directory", AE_IFREG), at + "/directory\" is a directory, and the export has a file of that name");
  EXPECT_EQ(error("file", AE_IFDIR), at + "/file\" is a regular file, and the export has a directory of that name");
  EXPECT_NE(error("out", AE_IFDIR).find("/out\" is a symbolic link that leads out of"), std::string::npos);
  EXPECT_EQ(error("fifo", AE_IFIFO), "") << "the same again";
  EXPECT_EQ(error("file", AE_IFCHR), "") << "devices are left out";
  EXPECT_EQ(dagger::read_file(target + "/file"), "mine");
  Tar tar;
  tar.add("in", AE_IFDIR, "");
  tar.add("in/f", AE_IFREG, "text");
  unpack(tar);
  EXPECT_EQ(dagger::read_file(target + "/directory/f"), "text");
}

TEST(Credentials, ComeFromTheEntryOfTheRegistry) {
  const std::string config = R"({"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYTpzcw=="},
      "localhost:5000":{"username":"u","password":"p"},"ghcr.io":{"identitytoken":"t"}},
      "credHelpers":{"helped.io":"x"}})";
  const AskHelper ask = [](void*, const std::string& helper, const std::string& key) {
    link::CredentialsReply reply;
    reply.found = true;
    reply.username = helper;
    reply.secret = key;
    return std::optional(reply);
  };
  const auto find = [&](const char* realm) { return credentials_from(config, realm, ask, nullptr); };
  EXPECT_EQ(find("registry-1.docker.io").secret, "pa:ss");
  EXPECT_EQ(find("localhost:5000").username, "u");
  EXPECT_TRUE(find("ghcr.io").is_token);
  EXPECT_EQ(find("helped.io").secret, "helped.io");
  EXPECT_FALSE(find("other.io").found);
  EXPECT_THROW(credentials_from("[]", "x", ask, nullptr), Error);
}

}  // namespace
}  // namespace dagger::session
