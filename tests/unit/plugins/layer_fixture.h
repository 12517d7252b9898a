// tests/unit/plugins/layer_fixture.h — layers made by hand, and views of them by a real snapshotter.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/fs.h"
#include "plugins/snapshotter-fuse/snapshotter.h"
#include "plugins/snapshotter-overlay/snapshotter.h"
#include "tests/support/fake_host.h"

namespace dagger::testing {

using plugin::Layer;
using plugin::MountStub;
using plugin::ViewRequest;

// name: "fuse", or how the overlay snapshotter mounts.
inline std::unique_ptr<plugin::Snapshotter> make_snapshotter(plugin::Host& host, const std::string& name) {
  if (name == "fuse") return std::make_unique<fuse::FuseSnapshotter>(host, "{}");
  return std::make_unique<overlay::OverlaySnapshotter>(host, R"({"mount":")" + name + "\"}");
}

inline std::string text_of(int root, const std::string& path) {
  return read_all(open_in_root(root, path, O_RDONLY).get(), 1 << 20);
}

inline struct stat stat_at(int dir, const std::string& path) {
  struct stat st{};
  if (::fstatat(dir, path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) throw_errno(path);
  return st;
}

class LayerFixture : public ::testing::Test {
 protected:
  explicit LayerFixture(const std::string& name) : snapshotter(make_snapshotter(host, name)) {}

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
    return writable_by(*snapshotter, std::move(stack), std::move(stubs));
  }
  std::unique_ptr<plugin::View> writable_by(plugin::Snapshotter& by, std::vector<Layer> stack,
                                            std::vector<MountStub> stubs = {}) {
    workspace = dir.path() + "/workspace" + std::to_string(count++);
    if (::mkdir(workspace.c_str(), 0700) != 0) throw_errno(workspace);
    return by.open({std::move(stack), true, workspace, std::move(stubs)}, ctx);
  }
  std::unique_ptr<plugin::View> read_only(std::vector<Layer> stack) {
    return snapshotter->open({std::move(stack), false, {}, {}}, ctx);
  }
  std::vector<Layer> many(std::size_t count_of_layers, const std::string& parent = "many") {
    std::vector<Layer> stack;
    for (std::size_t i = 0; i < count_of_layers; ++i) {
      const auto path = make_layer(parent + "/" + std::to_string(i));
      put(path + "/top", std::to_string(i));
      if (i < 10) put(path + "/only" + std::to_string(i));
      stack.push_back(layer(path));
    }
    return stack;
  }

  FakeHost host;
  FakeContext ctx;
  std::unique_ptr<plugin::Snapshotter> snapshotter;
  TempDir dir{"/dev/shm"};  // thousands of small files: memory keeps the tests short
  std::string workspace;
  int count = 0;
};

}  // namespace dagger::testing
