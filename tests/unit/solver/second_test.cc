// The solver over the second implementations (tests/support/second/README.md): no local mounts, no overlay, a network
// that can be lost, a tier in memory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "core/base/fs.h"
#include "tests/support/fake_host.h"
#include "tests/support/second/copy_snapshotter.h"
#include "tests/support/second/memory_cache.h"
#include "tests/support/second/pin_only_source.h"
#include "tests/support/second/process_network.h"
#include "tests/support/second/remote_executor.h"
#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;
using testing::FakeClient;

// A real store, on which nothing is ever mounted.
struct CopyStore {
  TempDir dir;
  testing::FakeHost host;
  testing::CopySnapshotter snapshotter{host, "{}"};
  Log log{Level::off, 2};
  std::unique_ptr<store::Store> store = store::Store::open({.dir = dir.path() + "/state"}, snapshotter, log);
};

class Second : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers have trusted.* marks, which need root";
    real = std::make_unique<CopyStore>();
  }
  std::unique_ptr<CopyStore> real;
  testing::FakeHost host;
};

// Waits, on the loop, for the pin of a reference.
testing::Outcome<plugin::PinResult> pin(Engine& engine, FakeClient& client, const std::string& scheme,
                                        const std::string& location) {
  return engine.thread
      .start([&] {
        return engine.solver().pin(client, Digest::of(location), {scheme, location, {}, "linux/amd64"}, CancelToken());
      })
      .get();
}

dag::Ref source(Engine& engine, FakeClient& client, const std::string& scheme, const std::string& location) {
  const auto pinned = pin(engine, client, scheme, location);
  EXPECT_TRUE(pinned.value) << pinned.error;
  const auto& p = pinned.value->pin;
  return engine.add(client, {{dag::Source{scheme, location, "linux/amd64", {}, p.digest, p.identity}, {}}});
}

TEST_F(Second, RunsAPipelineOnAnotherMachine) {
  testing::RemoteExecutor remote(host, "{}");
  testing::PinOnlySource text(host, "{}");
  Engine engine({.store = real->store.get(), .executor = &remote, .source = &text});
  auto& a = engine.client("a");
  const auto base = source(engine, a, "text", "from a source");
  const auto written = engine.exec(a, {"write", "/new", "from an exec"}, base);
  EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/content", "/new"}, written)), "from a sourcefrom an exec");
  const auto removed = engine.exec(a, {"rm", "/content"}, written);
  EXPECT_EQ(engine.get(a, engine.exec(a, {"cat", "/content"}, removed)).value->failure->exit_code, 1);
}

TEST_F(Second, BringsBackWhatAnExecElsewhereChangedInAMount) {
  testing::RemoteExecutor remote(host, "{}");
  Engine engine({.store = real->store.get(), .executor = &remote});
  auto& a = engine.client("a");
  const auto mounted = engine.write(a, engine.scratch(a), "/log", "one ");
  const auto step = engine.exec(a, {"append", "/data/log", "two"}, engine.scratch(a), [&](dag::Op& op, dag::Exec& e) {
    op.inputs.push_back(mounted);
    dag::Mount m;
    m.target = "/data";
    m.input = 1;
    e.mounts.push_back(m);
  });
  EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/log"}, {step.op, "mount:/data"})), "one two");
}

TEST_F(Second, FindsOwnersForAnExecutorThatHasNoView) {
  testing::RemoteExecutor remote(host, "{}");
  Engine engine({.store = real->store.get(), .executor = &remote});
  auto& a = engine.client("a");
  a.secrets["s"] = "value";
  const auto step = engine.exec(a, {"true"}, engine.scratch(a), [&](dag::Op&, dag::Exec& e) {
    dag::Mount m;
    m.type = dag::MountType::secret;
    m.target = "/run/secret";
    m.id = "s";
    m.owner = "1:2";
    e.mounts.push_back(m);
    m = {};
    m.type = dag::MountType::cache;
    m.target = "/cache";
    m.id = "volume";
    e.mounts.push_back(m);
  });
  EXPECT_EQ(engine.out(a, step), "");
}

TEST_F(Second, SaysWhatAnExecutorElsewhereCannotDo) {
  testing::RemoteExecutor remote(host, "{}");
  Engine engine({.store = real->store.get(), .executor = &remote});
  auto& a = engine.client("a");
  const auto to_file =
      engine.exec(a, {"echo", "x"}, engine.scratch(a), [](dag::Op&, dag::Exec& e) { e.redirect_stdout = "/out"; });
  EXPECT_NE(engine.out(a, to_file).find("runs elsewhere"), std::string::npos);
  const auto bridged =
      engine.exec(a, {"echo", "x"}, engine.scratch(a), [](dag::Op&, dag::Exec& e) { e.network_class = "bridge"; });
  EXPECT_NE(engine.out(a, bridged).find("no network of class 'bridge'"), std::string::npos);
}

// Tells when it has a record.
class AwaitedCache final : public testing::MemoryCache {
 public:
  using MemoryCache::MemoryCache;
  void put_record(const std::string& key, const std::string& record, const std::vector<std::string>& blobs,
                  plugin::CallContext& ctx) override {
    MemoryCache::put_record(key, record, blobs, ctx);
    first.set_value(blobs);
  }
  std::promise<std::vector<std::string>> first;
};

TEST_F(Second, TakesARecordFromATierInMemory) {
  AwaitedCache tier(host, "{}");
  {
    CopyStore other;
    testing::RemoteExecutor remote(host, "{}");
    Engine first({.store = other.store.get(), .executor = &remote, .caches = {{"memory", &tier}}});
    auto& a = first.client("a");
    ASSERT_EQ(first.out(a, first.exec(a, {"write", "/f", "text"}, first.scratch(a))), "");
    auto put = tier.first.get_future();
    ASSERT_EQ(put.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    EXPECT_EQ(put.get().size(), 3U) << "its layer and both logs";
  }
  testing::FakeExecutor never;
  Engine engine({.store = real->store.get(), .executor = &never, .caches = {{"memory", &tier}}});
  auto& a = engine.client("a");
  const auto found = engine.get(a, engine.exec(a, {"write", "/f", "text"}, engine.scratch(a)));
  ASSERT_TRUE(found.value) << found.error;
  EXPECT_EQ(found.value->stack.size(), 1U);
  EXPECT_EQ(never.started(), 0U);
}

TEST_F(Second, RunsAnExecInTheNamespaceOfAProcess) {
  testing::ProcessNetwork network(host, "{}");
  Engine engine({.network = &network});
  auto& a = engine.client("a");
  EXPECT_EQ(engine.out(a, engine.exec(a, {"echo", "joined"}, engine.scratch(a))), "joined\n");
}

// Its layers are all called "tree", which says nothing outside of a pin.
class TreeSource final : public plugin::Source {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  std::vector<std::string> schemes() const override { return {"tree"}; }
  plugin::PinResult pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>&, plugin::SourceSink& sink,
                        plugin::CallContext&) override {
    plugin::PinResult result;
    result.pin.digest = "tree:" + ref.location;
    result.layers.emplace_back().id = "tree";
    if (early) deliver(ref, result.layers[0], sink);
    return result;
  }
  void fetch(const plugin::SourceRef& ref, const plugin::Pin&, const plugin::SourceLayer& layer,
             plugin::SourceSink& sink, plugin::CallContext&) override {
    ++fetched;
    deliver(ref, layer, sink);
  }
  bool early = false;
  std::atomic<int> fetched{0};

 private:
  static void deliver(const plugin::SourceRef& ref, const plugin::SourceLayer& layer, plugin::SourceSink& sink) {
    if (sink.have(layer)) return;
    const auto directory = sink.directory(layer);
    write_all(open_at(directory->fd(), "name", O_WRONLY | O_CREAT, 0644).get(), ref.location);
    directory->done();
  }
};

TEST(Sources, LayersOfTwoPinsWithOneNameAreTwoLayers) {
  TreeSource trees;
  Engine engine({.source = &trees});
  auto& a = engine.client("a");
  for (const char* name : {"one", "two"})
    EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/name"}, source(engine, a, "tree", name))), name);
  EXPECT_EQ(trees.fetched, 2);
}

TEST(Sources, WhatPinDeliveredIsNotFetchedAgain) {
  TreeSource trees;
  trees.early = true;
  Engine engine({.source = &trees});
  auto& a = engine.client("a");
  for (const char* name : {"one", "two"})
    EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/name"}, source(engine, a, "tree", name))), name);
  EXPECT_EQ(trees.fetched, 0);
}

// Its reference names a secret of the client, as that of a private repository does.
class SecretSource final : public plugin::Source {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  std::vector<std::string> schemes() const override { return {"private"}; }
  plugin::PinResult pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>&, plugin::SourceSink&,
                        plugin::CallContext& ctx) override {
    plugin::PinResult result;
    result.pin.digest = "private:" + read_all(ctx.open_secret(ref.location).get(), 100);
    return result;
  }
  void fetch(const plugin::SourceRef&, const plugin::Pin&, const plugin::SourceLayer&, plugin::SourceSink&,
             plugin::CallContext&) override {}
};

TEST(Sources, ReadASecretOfTheClientThatAsks) {
  SecretSource secrets;
  Engine engine({.source = &secrets});
  auto &a = engine.client("a"), &b = engine.client("b");
  a.secrets["token"] = "hunter2";
  EXPECT_EQ(pin(engine, a, "private", "token").value->pin.digest, "private:hunter2");
  EXPECT_EQ(pin(engine, b, "private", "token").code, Code::not_found);
}

// A registry that does not answer: each pin waits for the test.
class SilentSource final : public plugin::Source {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  std::vector<std::string> schemes() const override { return {"silent"}; }
  plugin::PinResult pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>&, plugin::SourceSink&,
                        plugin::CallContext&) override {
    if (ref.location == "silent") answer_.wait();
    plugin::PinResult result;
    result.pin.digest = ref.location;
    return result;
  }
  void fetch(const plugin::SourceRef&, const plugin::Pin&, const plugin::SourceLayer&, plugin::SourceSink&,
             plugin::CallContext&) override {}
  void answer() { gate_.set_value(); }

 private:
  std::promise<void> gate_;
  std::shared_future<void> answer_ = gate_.get_future();
};

TEST(Sources, ThatDoNotAnswerOneClientHinderNoOther) {
  SilentSource source;
  Engine engine({.source = &source, .limits = {2, 2, std::chrono::milliseconds(50)}});
  auto &a = engine.client("a"), &b = engine.client("b");
  std::vector<testing::Pending<plugin::PinResult>> pins;
  for (int i = 0; i < 10; ++i)
    pins.push_back(engine.thread.start([&] {
      return engine.solver().pin(a, Digest::of("silent"), {"silent", "silent", {}, "linux/amd64"}, CancelToken());
    }));
  EXPECT_TRUE(engine.get(b, engine.write(b, engine.scratch(b), "/file", "text")).value) << "files need no network";
  EXPECT_EQ(pin(engine, b, "silent", "other").value->pin.digest, "other");
  source.answer();
  for (auto& p : pins) EXPECT_TRUE(p.get().value);
}

// Every attachment is lost when lose() is called.
class LosingNetwork final : public plugin::Network {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  std::string network_class() const override { return "host"; }
  std::unique_ptr<plugin::Attachment> attach(const plugin::NetworkRequest&, plugin::CallContext&) override {
    return std::make_unique<Lost>(lost_.get());
  }
  void lose() const { ::eventfd_write(lost_.get(), 1); }

 private:
  class Lost final : public plugin::Attachment {
   public:
    explicit Lost(int fd) : fd_(fd) {}
    plugin::Namespace netns() const noexcept override { return plugin::Namespace::host; }
    int netns_fd() const noexcept override { return -1; }
    std::string resolv_conf() const override { return ""; }
    std::vector<plugin::HostEntry> hosts() const override { return {}; }
    int lost_fd() const noexcept override { return fd_; }

   private:
    const int fd_;
  };
  UniqueFd lost_{::eventfd(0, EFD_CLOEXEC)};
};

TEST(Networks, AnExecFailsWhenItsNetworkIsLost) {
  LosingNetwork network;
  Engine engine({.network = &network});
  auto& a = engine.client("a");
  auto wanted = engine.want(a, engine.exec(a, {"wait", "never"}, engine.scratch(a)));
  engine.executor.wait_until_started("wait never");
  network.lose();
  const auto outcome = wanted.get();
  EXPECT_EQ(outcome.code, Code::unavailable);
  EXPECT_NE(outcome.error.find("the network of the process was lost"), std::string::npos) << outcome.error;
  EXPECT_EQ(engine.executor.running(), 0U);
}

TEST(Networks, AnExecThatEndsWithItsNetworkHasEnded) {
  LosingNetwork network;
  network.lose();
  Engine engine({.network = &network});
  auto& a = engine.client("a");
  EXPECT_EQ(engine.out(a, engine.exec(a, {"echo", "done"}, engine.scratch(a))), "done\n");
}

}  // namespace
}  // namespace dagger::solver
