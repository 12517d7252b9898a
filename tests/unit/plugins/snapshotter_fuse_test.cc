// What is particular to fuse-overlayfs: its process, what it leaves in layers, and layers that overlay reads and wrote.
// Needs root.
#include <dirent.h>
#include <poll.h>
#include <signal.h>

#include <filesystem>
#include <map>
#include <thread>

#include "core/base/cancel.h"
#include "tests/unit/plugins/layer_fixture.h"

namespace dagger::testing {
namespace {

class Fuse : public LayerFixture {
 protected:
  Fuse() : LayerFixture("fuse") {}

  // A step of the snapshotter on the stack, whose layer is put on top of it. Gives the layer's directory.
  template <class Change>
  std::string step(plugin::Snapshotter& by, std::vector<Layer>& stack, Change change) {
    auto view = writable_by(by, stack);
    change(view->root_fd());
    const auto sealed = view->seal(ctx);
    EXPECT_FALSE(sealed.empty);
    stack.push_back(layer(sealed.path));
    return sealed.path;
  }
  static void write(int root, const std::string& path, std::string_view text) {
    write_all(open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), text);
  }
  // Every object in a directory, with what matters of it, as text.
  static std::map<std::string, std::string> listed(const std::string& top) {
    std::map<std::string, std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
      const auto path = entry.path().string();
      const auto st = stat_at(AT_FDCWD, path);
      char names[4096], value[64];
      const auto size = ::llistxattr(path.c_str(), names, sizeof names);
      std::string& text = out[path.substr(top.size())];
      text = S_ISCHR(st.st_mode) ? "whiteout" : std::to_string(st.st_mode) + " x" + std::to_string(st.st_nlink);
      for (const char* x = names; x < names + size; x += std::string(x).size() + 1) {
        if (std::string(x) == "trusted.overlay.origin") continue;  // of use to overlay alone
        const auto n = ::lgetxattr(path.c_str(), x, value, sizeof value);
        text += std::string(" ") + x + "=" + std::string(value, static_cast<std::size_t>(n));
      }
    }
    return out;
  }
  // The process that serves a view.
  void kill_server(const plugin::View& view) {
    const auto info = read_file("/proc/self/fdinfo/" + std::to_string(view.lost_fd()));
    const auto pid = std::stoi(info.substr(info.find("Pid:") + 4));
    ASSERT_GT(pid, 1);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    pollfd p{view.lost_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&p, 1, 10'000), 1);
  }
  template <class Call>
  static std::pair<Code, std::string> error_of(Call call) {
    try {
      call();
    } catch (const Error& e) {
      return {e.code(), e.what()};
    }
    return {};
  }
  // A program in the place of fuse-overlayfs.
  std::unique_ptr<plugin::Snapshotter> played_by(const std::string& script) {
    const auto path = dir.path() + "/program";
    put(path, "#!/bin/sh\n" + script + "\n");
    ::chmod(path.c_str(), 0755);
    return std::make_unique<fuse::FuseSnapshotter>(host, R"({"binary":")" + path + "\"}");
  }

  overlay::OverlaySnapshotter overlay_snapshotter{host, "{}"};
};

TEST_F(Fuse, WritesTheLayerThatOverlayWrites) {
  const auto base = make_layer("base");
  put(base + "/dir/kept");
  put(base + "/dir/gone");
  put(base + "/again/old");
  put(base + "/tree/deep/file");
  put(base + "/changed", "old");
  ASSERT_EQ(::setxattr((base + "/changed").c_str(), "user.own", "v", 1, 0), 0);
  std::map<std::string, std::string> seen[2];
  plugin::Snapshotter* const both[] = {&overlay_snapshotter, snapshotter.get()};
  for (int i = 0; i < 2; ++i) {
    std::vector<Layer> stack = {layer(base)};
    seen[i] = listed(step(*both[i], stack, [](int root) {
      make_dirs_in_root(root, "/new/one/two");
      make_dirs_in_root(root, "/dir/sub/deep");
      write(root, "/new/one/file", "1");
      ASSERT_EQ(::linkat(root, "new/one/file", root, "dir/link", 0), 0);
      write(root, "/changed", "new");
      ASSERT_EQ(::unlinkat(root, "dir/gone", 0), 0);
      remove_tree_at(root, "again");
      make_dirs_in_root(root, "/again/deep");
      remove_tree_at(root, "tree");
      write(root, "/temporary", "x");
      ASSERT_EQ(::unlinkat(root, "temporary", 0), 0);
    }));
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[1]["/dir/gone"], "whiteout");
  EXPECT_EQ(seen[1].count("/again/old"), 0U);
}

TEST_F(Fuse, ReadsWhatOverlayWroteAndTheOtherWayRound) {
  plugin::Snapshotter* const both[] = {snapshotter.get(), &overlay_snapshotter};
  for (int first = 0; first < 2; ++first) {
    std::vector<Layer> stack;
    for (int i = 0; i < 6; ++i) {
      step(*both[(first + i) % 2], stack, [&](int root) {
        const auto now = std::to_string(i), before = std::to_string(i - 1);
        write(root, "/file" + now, now);
        if (i > 0) {
          ASSERT_EQ(text_of(root, "/file" + before), before);
          ASSERT_EQ(text_of(root, "/dir/in" + before), before);
          ASSERT_EQ(::unlinkat(root, ("file" + before).c_str(), 0), 0);
          remove_tree_at(root, "dir");
        }
        make_dirs_in_root(root, "/dir");
        write(root, "/dir/in" + now, now);
      });
    }
    for (auto* by : both) {
      const auto view = by->open({stack, false, {}, {}}, ctx);
      for (int i = 0; i < 5; ++i) {
        EXPECT_THROW(stat_at(view->root_fd(), "file" + std::to_string(i)), Error);
        EXPECT_THROW(stat_at(view->root_fd(), "dir/in" + std::to_string(i)), Error);
      }
      EXPECT_EQ(text_of(view->root_fd(), "/file5"), "5");
      EXPECT_EQ(text_of(view->root_fd(), "/dir/in5"), "5");
    }
  }
}

TEST_F(Fuse, KeepsTimesOfDirectoriesThatItCleans) {
  auto view = writable({layer(make_layer("base"))});
  make_dirs_in_root(view->root_fd(), "/made");
  const timespec old[] = {{1000, 0}, {1000, 5}};
  ASSERT_EQ(::utimensat(view->root_fd(), "made", old, 0), 0);
  const auto sealed = view->seal(ctx);
  EXPECT_EQ(sealed.entries, 1U);
  EXPECT_EQ(stat_at(AT_FDCWD, sealed.path + "/made").st_mtim.tv_sec, 1000);
  EXPECT_EQ(stat_at(AT_FDCWD, sealed.path + "/made").st_mtim.tv_nsec, 5);
}

TEST_F(Fuse, KeepsTimesOfDirectoriesWhoseFilesChange) {
  const auto base = make_layer("base");
  for (const char* name : {"/changed/file", "/set/file", "/more/file", "/read/file"}) put(base + name);
  const timespec old[] = {{1000, 0}, {1000, 5}}, set[] = {{2000, 0}, {2000, 5}};
  for (const char* name : {"/changed", "/set", "/more", "/read"})
    ASSERT_EQ(::utimensat(AT_FDCWD, (base + name).c_str(), old, 0), 0);
  std::vector<Layer> stack = {layer(base)};
  const auto made = step(*snapshotter, stack, [&](int root) {
    ASSERT_EQ(::fchmodat(root, "changed/file", 0600, 0), 0);
    ASSERT_EQ(::utimensat(root, "set", set, 0), 0);
    for (const char* name : {"/set", "/read"}) {
      const std::unique_ptr<DIR, int (*)(DIR*)> all(::fdopendir(open_in_root(root, name, O_RDONLY).release()),
                                                    ::closedir);
      ASSERT_NE(::readdir(all.get()), nullptr);
    }
    ASSERT_EQ(::fchmodat(root, "set/file", 0600, 0), 0);
    ASSERT_EQ(::fchmodat(root, "read/file", 0600, 0), 0);
    stat_at(root, "read");
    write(root, "/more/new", "x");
  });
  EXPECT_EQ(stat_at(AT_FDCWD, made + "/changed").st_mtime, 1000);
  EXPECT_EQ(stat_at(AT_FDCWD, made + "/set").st_mtime, 2000);
  EXPECT_EQ(stat_at(AT_FDCWD, made + "/read").st_mtime, 1000);
  EXPECT_GT(stat_at(AT_FDCWD, made + "/more").st_mtime, 2000);
}

TEST_F(Fuse, MakesDevicesAndPipesOfWhatItTookForFiles) {
  const auto base = make_layer("base");
  ASSERT_EQ(::mknod((base + "/device").c_str(), S_IFCHR, makedev(1, 3)), 0);
  ASSERT_EQ(::chmod((base + "/device").c_str(), 0666), 0);
  ASSERT_EQ(::mkfifo((base + "/pipe").c_str(), 0644), 0);
  ASSERT_EQ(::chown((base + "/pipe").c_str(), 3, 4), 0);
  std::vector<Layer> stack = {layer(base)};
  const auto made = step(*snapshotter, stack, [&](int root) {
    ASSERT_EQ(::renameat(root, "device", root, "renamed"), 0);
    ASSERT_EQ(::renameat(root, "pipe", root, "other"), 0);
  });
  const auto device = stat_at(AT_FDCWD, made + "/renamed"), pipe = stat_at(AT_FDCWD, made + "/other");
  EXPECT_EQ(device.st_mode, S_IFCHR | 0666U);
  EXPECT_EQ(device.st_rdev, makedev(1, 3));
  EXPECT_EQ(pipe.st_mode, S_IFIFO | 0644U);
  EXPECT_EQ(pipe.st_uid, 3U);
}

TEST_F(Fuse, ShowsSeveralNamesOfAFileAsOneFile) {
  const auto base = make_layer("base");
  put(base + "/one/a", "text");
  make_dirs(base + "/two");
  ASSERT_EQ(::link((base + "/one/a").c_str(), (base + "/two/b").c_str()), 0);
  const auto view = read_only({layer(base)});
  const auto a = stat_at(view->root_fd(), "one/a"), b = stat_at(view->root_fd(), "two/b");
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_EQ(text_of(view->root_fd(), "/two/b"), "text");
}

TEST_F(Fuse, GivesAChangeToAllNamesOfTheFile) {
  const auto base = make_layer("base");
  for (const char* name : {"/one/a", "/other"}) put(base + name, "old");
  make_dirs(base + "/two/deep");
  const timespec old[] = {{1000, 0}, {1000, 0}};
  for (const char* name : {"/one/b", "/two/c", "/two/deep/d", "/two/removed", "/two/replaced"})
    ASSERT_EQ(::link((base + "/one/a").c_str(), (base + name).c_str()), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (base + "/two/deep").c_str(), old, 0), 0);
  for (const char* changed : {"/one/a", "/one/b", "/two/c"}) {
    std::vector<Layer> stack = {layer(base)};
    const auto made = step(*snapshotter, stack, [&](int root) {
      ASSERT_EQ(::unlinkat(root, "two/removed", 0), 0);
      ASSERT_EQ(::unlinkat(root, "two/replaced", 0), 0);
      write(root, "/two/replaced", "own");
      write(root, changed, "new");
    });
    const auto view = overlay_snapshotter.open({stack, false, {}, {}}, ctx);
    for (const char* name : {"/one/a", "/one/b", "/two/c", "/two/deep/d"})
      EXPECT_EQ(text_of(view->root_fd(), name), "new") << name << " after a change of " << changed;
    EXPECT_EQ(text_of(view->root_fd(), "/two/replaced"), "own");
    EXPECT_EQ(text_of(view->root_fd(), "/other"), "old");
    EXPECT_THROW(stat_at(view->root_fd(), "two/removed"), Error);
    EXPECT_EQ(stat_at(view->root_fd(), "one/a").st_ino, stat_at(view->root_fd(), "two/c").st_ino);
    EXPECT_EQ(stat_at(view->root_fd(), "two/deep").st_mtime, 1000);
    EXPECT_EQ(listed(made).count("/other"), 0U);
  }
}

TEST_F(Fuse, TellsThatItsProcessWasLost) {
  auto view = writable(many(2));
  pollfd p{view->lost_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 0), 0);
  kill_server(*view);
  EXPECT_THROW(stat_at(view->root_fd(), "only0"), Error);
  const auto [code, text] = error_of([&] { view->seal(ctx); });
  EXPECT_EQ(code, Code::unavailable);
  EXPECT_NE(text.find("SIGKILL"), std::string::npos) << text;
}

TEST_F(Fuse, LeavesNoProcessBehind) {
  pid_t pid = 0;
  {
    const auto view = writable(many(2));
    const auto info = read_file("/proc/self/fdinfo/" + std::to_string(view->lost_fd()));
    pid = std::stoi(info.substr(info.find("Pid:") + 4));
    EXPECT_EQ(::kill(pid, 0), 0);
    EXPECT_EQ(::getpgid(pid), pid);  // what a terminal sends to the engine does not reach it
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(Fuse, TellsTheLastWordsOfAProcessThatFails) {
  const auto broken = played_by("echo unknown argument ignored: x >&2; echo out of luck >&2; exit 3");
  const auto [code, text] = error_of([&] { broken->open({many(1), false, {}, {}}, ctx); });
  EXPECT_EQ(code, Code::unavailable);
  EXPECT_NE(text.find("exit code 3: out of luck"), std::string::npos) << text;
  EXPECT_EQ(text.find("unknown argument"), std::string::npos) << text;
}

TEST_F(Fuse, EndsAProcessThatDoesNotAnswerWhenNobodyWaits) {
  const auto ready = dir.path() + "/ready";
  ASSERT_EQ(::mkfifo(ready.c_str(), 0600), 0);
  const auto hanging = played_by("echo > " + ready + "; exec sleep 1000");
  CancelSource cancel;
  FakeContext cancelled(cancel.token());
  const auto stack = many(1);
  std::thread waiter([&] {
    const auto heard = open_file(ready, O_RDONLY);  // it has started
    cancel.request("enough");
  });
  const auto [code, text] = error_of([&] { hanging->open({stack, false, {}, {}}, cancelled); });
  waiter.join();
  EXPECT_EQ(code, Code::cancelled) << text;
}

TEST_F(Fuse, NamesThePackageOfAProgramThatIsMissing) {
  const auto [code, text] = error_of([&] { fuse::FuseSnapshotter(host, R"({"binary":"no-such-program"})"); });
  EXPECT_EQ(code, Code::unsupported);
  EXPECT_NE(text.find("install the package fuse-overlayfs"), std::string::npos) << text;
}

TEST_F(Fuse, RefusesAWorkspaceThatItCannotName) {
  workspace = dir.path() + "/a:b";
  make_dirs(workspace, 0700);
  const auto [code, text] = error_of([&] { snapshotter->open({many(1), true, workspace, {}}, ctx); });
  EXPECT_EQ(code, Code::invalid_argument);
  EXPECT_NE(text.find("a:b"), std::string::npos) << text;
}

}  // namespace
}  // namespace dagger::testing
