// Objects that a plugin in a process of its own has handed out, and its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/plugin/registry.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

using ::testing::ElementsAre;

constexpr const char* aborted = "its process was killed by signal ABRT; it is started again at the next call";

template <class F>
std::string failure(F&& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::plugin_fault);
    return e.what();
  }
  return "none";
}

class IsolatedKinds : public ::testing::Test {
 protected:
  void load(const std::string& kind, const std::string& name) {
    PluginChoice c;
    c.use = name, c.file = std::string(ZOO_DIR) + "/zoo-" + name + ".so", c.isolation = Isolation::process;
    registry_.load(kind, c);
  }
  TempDir state_;
  Log log_{Level::off, STDERR_FILENO};
  Spawner spawner_;
  Registry registry_{{{ZOO_DIR}, state_.path(), BUILD_DIR}, log_, spawner_};
  testing::FakeContext context_;
};

TEST_F(IsolatedKinds, AnAttachmentIsLostWithItsProcess) {
  load("network", "fragile_network");
  auto& network = registry_.network("fragile");
  const auto attached = network.attach({"e1", "fine", ""}, context_);
  EXPECT_EQ(attached->netns(), Namespace::joined);
  struct stat ours{}, theirs{};
  ASSERT_EQ(::stat("/proc/self/ns/net", &ours), 0);
  ASSERT_EQ(::fstat(attached->netns_fd(), &theirs), 0);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  EXPECT_THAT(attached->addresses(), ElementsAre("10.0.0.1", "::1"));
  EXPECT_EQ(attached->resolv_conf(), "nameserver 10.0.0.2\n");
  EXPECT_EQ(attached->hosts().at(0).name, "gateway");
  pollfd lost{attached->lost_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&lost, 1, 0), 0);

  EXPECT_EQ(failure([&] { network.attach({"e2", "abort", ""}, context_); }),
            std::string("network plugin 'fragile_network', attach(): ") + aborted);
  EXPECT_EQ(::poll(&lost, 1, 5000), 1);
  EXPECT_EQ(attached->hosts().at(0).name, "gateway");
  pollfd other{network.attach({"e3", "fine", ""}, context_)->lost_fd(), POLLIN, 0};
  EXPECT_GE(other.fd, 0);
}

TEST_F(IsolatedKinds, ABlobBreaksOffWhenTheProcessEnds) {
  load("cache", "fragile_cache");
  auto& cache = *registry_.caches().at(0);
  EXPECT_TRUE(cache.traits().remote && !cache.traits().writable);
  const auto read = [&](const std::string& digest) {
    const auto stream = cache.read_blob(digest, 0, -1, context_);
    std::string all;
    char buffer[1000];
    while (const auto n = stream->read(buffer, sizeof buffer)) all.append(buffer, n);
    return all;
  };
  EXPECT_EQ(read("whole"), std::string(3000, 'a'));
  EXPECT_EQ(failure([&] { read("abort"); }),
            std::string("cache plugin 'fragile_cache', ByteStream::read(): ") + aborted);
  EXPECT_EQ(failure([&] { read("none"); }), "cache plugin 'fragile_cache', read_blob(): returned no stream");
  EXPECT_EQ(read("whole"), std::string(3000, 'a'));
}

TEST_F(IsolatedKinds, WhatIsWrittenBreaksOffToo) {
  load("cache", "fragile_cache");
  auto& cache = *registry_.caches().at(0);
  struct Endless final : ByteStream {
    std::size_t read(void*, std::size_t size) override { return size; }
  } stream;
  EXPECT_EQ(failure([&] { cache.write_blob("abort", -1, stream, context_); }),
            std::string("cache plugin 'fragile_cache', write_blob(): ") + aborted);
}

TEST_F(IsolatedKinds, RecordsOfFullSizeCross) {
  load("cache", "fragile_cache");
  const auto found = registry_.caches().at(0)->records({"a", "b", "c", "d", "e", "f"}, context_);
  ASSERT_EQ(found.size(), 6U);
  EXPECT_EQ(found[5].first, "f");
  EXPECT_EQ(found[5].second.size(), max_record_bytes);
  registry_.caches().at(0)->put_record("k", std::string(max_record_bytes, 'x'), {"a"}, context_);
}

}  // namespace
}  // namespace dagger::plugin
