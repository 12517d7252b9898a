#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "plugins/cache-local/store.h"
#include "plugins/common/base/sha256.h"
#include "tests/support/fake_host.h"

namespace dagger::cache_local {
namespace {

namespace fs = std::filesystem;
using plugin_base::sha256_digest;
using testing::FakeContext;
using testing::FakeHost;

class Bytes final : public plugin::ByteStream {
 public:
  explicit Bytes(std::string data) : data_(std::move(data)) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const std::size_t n = std::min({size, data_.size() - at_, std::size_t{1000}});
    std::memcpy(buffer, data_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string data_;
  std::size_t at_ = 0;
};

std::string drained(plugin::ByteStream& stream) {
  std::string out, buffer(100, '\0');
  while (const std::size_t n = stream.read(buffer.data(), buffer.size())) out.append(buffer.data(), n);
  return out;
}

class LocalCacheTest : public ::testing::Test {
 protected:
  LocalCache make() { return LocalCache(host, nlohmann::json{{"path", dir.path() + "/deep/cache"}}.dump()); }
  std::size_t files(const std::string& below) const {
    std::size_t n = 0;
    for (const auto& e : fs::recursive_directory_iterator(dir.path() + "/deep/cache/v1/" + below))
      n += e.is_regular_file();
    return n;
  }
  template <class F>
  static Code code(F f) {
    try {
      f();
    } catch (const Error& e) {
      return e.code();
    }
    return Code{};
  }
  TempDir dir;
  FakeHost host;
  FakeContext ctx;
};

TEST_F(LocalCacheTest, AnotherRunnerFindsWhatOneStored) {
  LocalCache one = make(), two = make();
  const std::string blob(5000, 'b'), digest = sha256_digest(blob);
  EXPECT_EQ(two.missing({digest}, ctx), std::vector<std::string>{digest});
  Bytes stream(blob);
  one.write_blob(digest, 5000, stream, ctx);
  one.put_record("sha256:key", std::string("re\0cord\n", 8), {}, ctx);
  EXPECT_TRUE(two.missing({digest}, ctx).empty());
  const auto records = two.records({"sha256:other", "sha256:key"}, ctx);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].first, "sha256:key");
  EXPECT_EQ(records[0].second, std::string("re\0cord\n", 8));
  EXPECT_EQ(drained(*two.read_blob(digest, 0, -1, ctx)), blob);
  EXPECT_EQ(files("tmp"), 0U);
}

TEST_F(LocalCacheTest, PartsOfABlobAreRead) {
  LocalCache cache = make();
  const std::string blob = "0123456789", digest = sha256_digest(blob);
  Bytes stream(blob);
  cache.write_blob(digest, -1, stream, ctx);
  EXPECT_EQ(drained(*cache.read_blob(digest, 3, 4, ctx)), "3456");
  EXPECT_EQ(drained(*cache.read_blob(digest, 8, -1, ctx)), "89");
  EXPECT_EQ(drained(*cache.read_blob(digest, 8, 100, ctx)), "89");
  EXPECT_EQ(drained(*cache.read_blob(digest, 20, -1, ctx)), "");
  EXPECT_EQ(drained(*cache.read_blob(digest, 3, 0, ctx)), "");
  EXPECT_EQ(code([&] { cache.read_blob(digest, -1, 4, ctx); }), Code::invalid_argument);
  EXPECT_EQ(code([&] { cache.read_blob(sha256_digest("x"), 0, -1, ctx); }), Code::not_found);
}

TEST_F(LocalCacheTest, BytesOfAnotherDigestOrSizeAreNotStored) {
  LocalCache cache = make();
  const std::string digest = sha256_digest("good");
  for (const auto& [bytes, size] : {std::pair<std::string, int>{"evil", 4}, {"good", 5}, {"good", 3}, {"", -1}}) {
    Bytes stream(bytes);
    EXPECT_EQ(code([&] { cache.write_blob(digest, size, stream, ctx); }), Code::corrupt_data);
  }
  EXPECT_EQ(cache.missing({digest}, ctx).size(), 1U);
  EXPECT_EQ(files("tmp") + files("blobs"), 0U);
}

TEST_F(LocalCacheTest, NoNameLeavesTheDirectory) {
  LocalCache cache = make();
  for (const std::string& name : std::vector<std::string>{"", "../../x", "sha256:../../../etc/passwd", "sha256:abc",
                                                          "md5:" + std::string(64, 'a')}) {
    Bytes stream("x");
    EXPECT_EQ(code([&] { cache.read_blob(name, 0, -1, ctx); }), Code::invalid_argument) << name;
    EXPECT_EQ(code([&] { cache.write_blob(name, 1, stream, ctx); }), Code::invalid_argument) << name;
    EXPECT_EQ(code([&] { cache.missing({name}, ctx); }), Code::invalid_argument) << name;
  }
  cache.put_record("../../../../tmp/escape", "r", {}, ctx);
  EXPECT_EQ(cache.records({"../../../../tmp/escape"}, ctx).size(), 1U);
  EXPECT_EQ(files("records"), 1U);
  EXPECT_EQ(code([&] { cache.put_record("two\nlines", "r", {}, ctx); }), Code::invalid_argument);
  EXPECT_EQ(code([&] { cache.put_record(std::string(5000, 'k'), "r", {}, ctx); }), Code::invalid_argument);
}

TEST_F(LocalCacheTest, ADamagedRecordCountsAsAbsent) {
  LocalCache cache = make();
  cache.put_record("k", "a record", {}, ctx);
  for (const auto& e : fs::recursive_directory_iterator(dir.path() + "/deep/cache/v1/records"))
    if (e.is_regular_file()) {
      std::fstream file(e.path(), std::ios::in | std::ios::out);
      file.seekp(-1, std::ios::end);
      file.put('X');
    }
  EXPECT_TRUE(cache.records({"k"}, ctx).empty());
  cache.put_record("k", "new", {}, ctx);
  EXPECT_EQ(cache.records({"k"}, ctx).at(0).second, "new");
}

TEST_F(LocalCacheTest, ReadersSeeOldOrNewRecordsWhileOthersWrite) {
  LocalCache one = make(), two = make();
  one.put_record("k", std::string(10'000, 'a'), {}, ctx);
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) two.put_record("k", std::string(10'000, static_cast<char>('a' + i % 3)), {}, ctx);
  });
  for (int i = 0; i < 200; ++i) {
    const auto found = one.records({"k"}, ctx);
    ASSERT_EQ(found.size(), 1U);
    ASSERT_EQ(found[0].second, std::string(10'000, found[0].second[0]));
  }
  writer.join();
}

TEST_F(LocalCacheTest, TouchSetsTheTimeOfWhatExists) {
  LocalCache cache = make();
  const std::string digest = sha256_digest("x");
  Bytes stream("x");
  cache.write_blob(digest, 1, stream, ctx);
  const std::string file = dir.path() + "/deep/cache/v1/blobs/" + digest.substr(7, 2) + "/" + digest.substr(7);
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), old, 0), 0);
  cache.touch({"sha256:unknown", digest}, ctx);
  struct stat status{};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_GT(status.st_mtime, 1000);
}

TEST_F(LocalCacheTest, OldTemporaryFilesGoAtTheNextStartAndNewOnesStay) {
  {
    LocalCache cache = make();
  }
  const std::string tmp = dir.path() + "/deep/cache/v1/tmp/";
  std::ofstream(tmp + "old") << "x";
  std::ofstream(tmp + "new") << "x";
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (tmp + "old").c_str(), old, 0), 0);
  LocalCache cache = make();
  EXPECT_FALSE(fs::exists(tmp + "old"));
  EXPECT_TRUE(fs::exists(tmp + "new"));
}

TEST_F(LocalCacheTest, BadSettingsAreRefused) {
  for (const char* text :
       {"", "{}", "[]", R"({"path":""})", R"({"path":"relative"})", R"({"path":5})", R"({"path":"/tmp","x":1})"})
    EXPECT_EQ(code([&] { LocalCache(host, text); }), Code::invalid_argument) << text;
  std::ofstream(dir.path() + "/file") << "x";
  EXPECT_NE(code([&] { LocalCache(host, nlohmann::json{{"path", dir.path() + "/file/x"}}.dump()); }), Code{});
}

}  // namespace
}  // namespace dagger::cache_local
