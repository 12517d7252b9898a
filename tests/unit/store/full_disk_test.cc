// A store on a small file system that runs full. Needs the right to mount.
#include <sys/mount.h>

#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    make_dirs(path);
    if (::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=2m") != 0) throw_errno("mount a small tmpfs");
  }
  ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  // Takes all that is left; give_back() ends it.
  void fill() {
    const auto fd = dagger::open_file(path_ + "/ballast", O_WRONLY | O_CREAT | O_APPEND, 0600);
    const std::string piece(4096, 'x');
    while (::write(fd.get(), piece.data(), piece.size()) > 0) continue;
  }
  void give_back() { ::unlink((path_ + "/ballast").c_str()); }

 private:
  std::string path_;
};

class FullDisk : public ::testing::Test {
 protected:
  FullDisk() { open(); }
  void open() {
    store = Store::open({.dir = dir.path() + "/disk/state", .commit_interval = std::chrono::milliseconds(1)},
                        snapshotter, log);
  }
  template <class F>
  Code failure(F f) {
    try {
      f();
    } catch (const Error& e) {
      return e.code();
    }
    ADD_FAILURE() << "no error";
    return Code::internal;
  }
  LayerId unpack(const std::string& data) {
    testing::StringStream tar(testing::TarBuilder().file("f", data).end());
    return store->unpack(tar, "", "", ctx);
  }
  static Record record(const std::string& name, Stack layers) {
    Record r;
    r.key = Digest::of(name);
    r.outputs.push_back({"", -1, std::move(layers)});
    return r;
  }

  TempDir dir{"/dev/shm"};
  SmallDisk disk{dir.path() + "/disk"};
  Log log{Level::off, 2};
  testing::FakeContext ctx;
  testing::DirectorySnapshotter snapshotter;
  std::unique_ptr<Store> store;
};

TEST_F(FullDisk, FailsTheStepAndKeepsTheStore) {
  const LayerId kept = unpack("small");
  store->put(record("kept", {kept}));
  store->flush();
  EXPECT_EQ(failure([&] { unpack(std::string(4 << 20, 'x')); }), Code::no_space);
  EXPECT_EQ(failure([&] { store->put_blob(std::string(4 << 20, 'x')); }), Code::no_space);
  EXPECT_EQ(store->usage().layers, 1U);
  EXPECT_EQ(store->usage().blobs, 0U);
  store.reset();
  open();
  EXPECT_TRUE(store->find(Digest::of("kept")));
  EXPECT_EQ(unpack("small again"), kept + 1);
}

TEST_F(FullDisk, WritesWhatItCouldNotOnceThereIsRoom) {
  store->flush();
  disk.fill();
  for (int i = 0; i < 500; ++i) store->put(record(std::to_string(i), {}));
  EXPECT_EQ(failure([&] { store->flush(); }), Code::no_space);
  EXPECT_TRUE(store->find(Digest::of("7")));
  disk.give_back();
  store->flush();
  store.reset();
  open();
  EXPECT_TRUE(store->find(Digest::of("499")));
}

}  // namespace
}  // namespace dagger::store
