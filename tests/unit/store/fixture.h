// tests/unit/store/fixture.h — a store in a temporary directory, with a snapshotter that only knows directories.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/store/store.h"
#include "tests/support/fake_host.h"

namespace dagger::testing {

// A view is the directory of the topmost layer; a workspace is an empty directory, and all that is in it is the layer.
class DirectorySnapshotter final : public plugin::Snapshotter {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  plugin::SnapshotterTraits traits() const override {
    return {{plugin::form::overlay_trusted}, plugin::form::overlay_trusted, max_stack};
  }
  std::unique_ptr<plugin::View> open(const plugin::ViewRequest& request, plugin::CallContext&) override {
    last = request;
    return std::make_unique<DirectoryView>(request);
  }
  std::size_t max_stack = 0;
  plugin::ViewRequest last;

 private:
  class DirectoryView final : public plugin::View {
   public:
    explicit DirectoryView(const plugin::ViewRequest& r) {
      path_ = r.writable ? r.workspace + "/root" : r.stack.back().places.front().path;
      if (r.writable) make_dirs(path_);
      fd_ = open_file(path_, O_RDONLY | O_DIRECTORY);
    }
    int root_fd() const noexcept override { return fd_.get(); }
    bool detached_mount() const noexcept override { return false; }
    plugin::SealedLayer seal(plugin::CallContext&) override {
      fd_.reset();
      return {plugin::form::overlay_trusted, path_, 4096, 1, ::rmdir(path_.c_str()) == 0};
    }

   private:
    std::string path_;
    UniqueFd fd_;
  };
};

class StringStream final : public plugin::ByteStream {
 public:
  explicit StringStream(std::string data, std::size_t piece = 1 << 20) : data_(std::move(data)), piece_(piece) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const std::size_t n = std::min({size, piece_, data_.size() - at_});
    std::memcpy(buffer, data_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string data_;
  std::size_t piece_, at_ = 0;
};

inline void put_file(int root, const std::string& path, const std::string& data, unsigned mode = 0644) {
  const auto fd = open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(fd.get(), data);
  ASSERT_EQ(::fchmod(fd.get(), mode), 0);
}
inline std::string get_file(int root, const std::string& path) {
  return read_all(open_in_root(root, path, O_RDONLY).get(), 1 << 20);
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { reopen(); }
  void reopen() {
    store.reset();
    store = store::Store::open({.dir = dir.path() + "/state", .commit_interval = std::chrono::milliseconds(5)},
                               snapshotter, log);
  }
  store::LayerId layer_with(const std::string& path, const std::string& data) {
    auto workspace = store->workspace({}, {}, ctx);
    put_file(workspace->root_fd(), path, data);
    return workspace->seal(ctx).value();
  }
  store::LayerId unpack(const std::string& tar) {
    StringStream stream(tar);
    return store->unpack(stream, "", "", ctx);
  }
  std::string path_of(store::LayerId id) { return store->layer(id)->places.front().path; }

  TempDir dir{"/dev/shm"};  // memory: syncing takes no time
  Log log{Level::off, 2};
  FakeContext ctx;
  DirectorySnapshotter snapshotter;
  std::unique_ptr<store::Store> store;
};

}  // namespace dagger::testing
