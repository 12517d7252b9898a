#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/conformance/kit.h"
#include "tests/support/fake_host.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* snapshotter_h = "dagger/plugin/snapshotter.h";

// Layers and workspaces of one check; what the store does for a snapshotter.
class Bench {
 public:
  explicit Bench(const Kit& kit)
      : dir_(kit.options.dir), loaded_(kit.load()), snapshotter_(loaded_->registry().snapshotter()) {}

  ViewRequest request(bool writable) {
    ViewRequest r;
    r.stack = stack_;
    r.writable = writable;
    if (writable) {
      r.workspace = dir_.path() + "/work" + std::to_string(++count_);
      make_dirs(r.workspace, 0700);
    }
    return r;
  }
  std::unique_ptr<View> open(bool writable) { return snapshotter_.open(request(writable), ctx_); }

  // Seals and does with the result what the store does: renames it into its place, removes the workspace.
  SealedLayer seal(std::unique_ptr<View> view, const std::string& workspace) {
    auto sealed = view->seal(ctx_);
    view.reset();
    if (!sealed.empty) {
      const auto place = dir_.path() + "/layer" + std::to_string(++count_);
      expect(::rename(sealed.path.c_str(), place.c_str()) == 0,
             "the sealed layer " + sealed.path + " cannot be renamed");
      stack_.push_back({"layer" + std::to_string(count_), {{sealed.form, place}}});
    }
    remove_tree(workspace);
    expect(!exists(workspace), "the workspace " + workspace + " cannot be removed after the view is gone");
    return sealed;
  }
  // One step: a writable view on the stack, changes, seal.
  SealedLayer step(const std::function<void(int root)>& change) {
    const auto r = request(true);
    auto view = snapshotter_.open(r, ctx_);
    change(view->root_fd());
    return seal(std::move(view), r.workspace);
  }
  Snapshotter& snapshotter() { return snapshotter_; }
  dagger::testing::FakeContext& ctx() { return ctx_; }
  const std::vector<Layer>& stack() const { return stack_; }

 private:
  TempDir dir_;
  std::unique_ptr<Loaded> loaded_;
  Snapshotter& snapshotter_;
  dagger::testing::FakeContext ctx_;
  std::vector<Layer> stack_;
  int count_ = 0;
};

void put(int root, const std::string& name, const std::string& text) {
  write_all(open_in_root(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), text);
}
std::string get(int root, const std::string& name) {
  return read_all(open_in_root(root, name, O_RDONLY).get(), 1 << 20);
}
bool has(int root, const std::string& name) {
  struct stat st{};
  return ::fstatat(root, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void traits(const Kit& kit) {
  Bench bench(kit);
  const auto t = bench.snapshotter().traits();
  bool readable = false;
  for (const auto& form : t.reads) readable |= form == t.writes;
  expect(readable, "it writes the form '" + t.writes + "', which it does not read");
}

void changes(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) {
    put(root, "kept", "1");
    put(root, "replaced", "old");
    put(root, "removed", "x");
    make_dirs_in_root(root, "/dir/deep");
    put(root, "dir/deep/file", "deep");
    make_dirs_in_root(root, "/again");
    put(root, "again/old", "old");
  });
  bench.step([](int root) {
    expect(get(root, "kept") == "1" && get(root, "dir/deep/file") == "deep", "a view does not show the layers below");
    put(root, "replaced", "new");
    ::unlinkat(root, "removed", 0);
    remove_tree_at(root, "again");
    make_dirs_in_root(root, "/again");
    put(root, "again/new", "new");
  });
  const auto view = bench.open(false);
  const int root = view->root_fd();
  expect(get(root, "kept") == "1", "an untouched file is gone");
  expect(get(root, "replaced") == "new", "a replaced file shows its old content");
  expect(!has(root, "removed"), "a removed file is back");
  expect(has(root, "again/new") && !has(root, "again/old"),
         "a directory that was removed and made again shows its old entries");
  expect(get(root, "dir/deep/file") == "deep", "a file in a directory is gone");
}

void attributes(const Kit& kit) {
  Bench bench(kit);
  const timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 123456789}};
  bench.step([&](int root) {
    put(root, "file", "x");
    const auto fd = open_in_root(root, "file", O_WRONLY);
    expect(::fchmod(fd.get(), 04751) == 0 && ::futimens(fd.get(), times) == 0, "a file in the view cannot be changed");
    expect(::symlinkat("nowhere", root, "link") == 0 && ::linkat(root, "file", root, "second", 0) == 0,
           "no links in the view");
  });
  const auto view = bench.open(false);
  struct stat file{}, link{}, second{};
  expect(::fstatat(view->root_fd(), "file", &file, 0) == 0 && ::fstatat(view->root_fd(), "second", &second, 0) == 0,
         "a file is gone");
  expect(::fstatat(view->root_fd(), "link", &link, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(link.st_mode),
         "a symbolic link is gone");
  expect((file.st_mode & 07777) == 04751, "the mode of a file is another");
  expect(file.st_mtim.tv_sec == 1000000000 && file.st_mtim.tv_nsec == 123456789, "the time of a file is another");
  expect(file.st_ino == second.st_ino, "a hard link became two files");
}

void nothing_changed(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) { put(root, "file", "x"); });
  const auto sealed = bench.step([](int root) { get(root, "file"); });
  expect(sealed.empty, "a layer of " + std::to_string(sealed.entries) + " entries was sealed though nothing changed");
}

void stubs(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) { make_dirs_in_root(root, "/etc"); });
  auto r = bench.request(true);
  r.stubs = {{"/etc/hosts", false}, {"/mnt/deep", true}};
  auto view = bench.snapshotter().open(r, bench.ctx());
  expect(has(view->root_fd(), "etc/hosts") && has(view->root_fd(), "mnt/deep"), "a stub is not in the view");
  put(view->root_fd(), "etc/own", "x");
  bench.seal(std::move(view), r.workspace);
  const auto again = bench.open(false);
  expect(has(again->root_fd(), "etc/own"), "a file beside a stub is not in the layer");
  expect(!has(again->root_fd(), "etc/hosts") && !has(again->root_fd(), "mnt"), "a stub is in the sealed layer");
}

void layers_stay(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) { put(root, "file", "1"); });
  const auto r = bench.request(true);
  auto view = bench.snapshotter().open(r, bench.ctx());
  put(view->root_fd(), "file", "2");
  const auto other = bench.open(false);
  expect(get(other->root_fd(), "file") == "1", "a change in one view shows in another");
  view.reset();
  remove_tree(r.workspace);
  expect(get(bench.open(false)->root_fd(), "file") == "1", "a view that was not sealed changed a layer");
}

void unreadable(const Kit& kit) {
  Bench bench(kit);
  ViewRequest r;
  r.stack = {{"x", {{"no-such-form", "/nowhere"}}}};
  expect(error_of([&] { bench.snapshotter().open(r, bench.ctx()); }) == Code::invalid_argument,
         "a layer without a readable form is not refused as invalid_argument");
}

void threads(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) { put(root, "file", "1"); });
  std::vector<ViewRequest> requests;
  for (int i = 0; i < 8; ++i) requests.push_back(bench.request(true));
  on_8_threads([&](int i) {
    dagger::testing::FakeContext ctx;
    auto view = bench.snapshotter().open(requests[static_cast<std::size_t>(i)], ctx);
    put(view->root_fd(), "file" + std::to_string(i), "x");
    const auto sealed = view->seal(ctx);
    expect(!sealed.empty && sealed.entries >= 1, "a view on one of 8 threads lost its change");
  });
}

void cancelled(const Kit& kit) {
  Bench bench(kit);
  bench.step([](int root) {
    for (int i = 0; i < 200; ++i) put(root, "file" + std::to_string(i), "x");
  });
  expect_prompt_cancel(kit, [&](CancelToken token) {
    dagger::testing::FakeContext ctx(token);
    bench.snapshotter().open(bench.request(true), ctx);
  });
}

void view_footprint(const Kit& kit) {
  Bench bench(kit);
  const auto use = [&] { bench.step([](int root) { put(root, "file", "x"); }); };
  for (int i = 0; i < 2; ++i) use();  // the first is a view of nothing, which may need less
  const auto before = Footprint::now();
  use();
  auto unsealed = bench.open(true);
  unsealed.reset();
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after two views " + difference);
}

}  // namespace

void add_snapshotter_checks(Checks& checks) {
  checks.push_back({"snapshotter.traits", "a snapshotter reads the form that it writes", snapshotter_h, traits});
  checks.push_back({"snapshotter.changes", "new, replaced, removed and made-again entries survive sealing and stacking",
                    snapshotter_h, changes});
  checks.push_back({"snapshotter.attributes",
                    "modes, times to the nanosecond, symbolic and hard links survive sealing and stacking",
                    snapshotter_h, attributes});
  checks.push_back({"snapshotter.unchanged", "a view in which nothing changed seals to an empty layer", snapshotter_h,
                    nothing_changed});
  checks.push_back({"snapshotter.stubs", "stubs are in the view and never in the sealed layer", snapshotter_h, stubs});
  checks.push_back(
      {"snapshotter.layers-stay", "layers never change, whatever happens in views", snapshotter_h, layers_stay});
  checks.push_back({"snapshotter.unreadable", "a layer without a readable form is refused as invalid_argument",
                    snapshotter_h, unreadable});
  checks.push_back({"snapshotter.threads", "8 views at once", snapshotter_h, threads});
  checks.push_back({"snapshotter.cancel", "a cancelled open() returns within 2 s, by Error{cancelled}",
                    "dagger/plugin/plugin.h", cancelled});
  checks.push_back(
      {"snapshotter.footprint", "a destroyed view leaves no mount and no fd behind", snapshotter_h, view_footprint});
}

}  // namespace dagger::conformance
