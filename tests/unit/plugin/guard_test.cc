// What each guard does with answers that break the contract. The plugins here are objects of this program.
#include "core/plugin/guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>

#include "core/base/fs.h"
#include "core/plugin/registry.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

template <class T>
struct Settingless : T {
  std::string_view config_schema() const noexcept override { return R"({"type": "object"})"; }
};

template <class T, class... Args>
LoadedPlugin loaded(std::string name, Args&&... args) {
  LoadedPlugin p;
  p.manifest.kind = T::kind;
  p.manifest.name = std::move(name);
  p.instance = std::make_unique<T>(std::forward<Args>(args)...);
  return p;
}

template <class F>
std::string error(F&& call) {
  try {
    call();
  } catch (const Error& e) {
    return std::string(code_name(e.code())) + ": " + e.what();
  }
  return "none";
}

// ---- snapshotter ----

struct FakeView final : View {
  FakeView(int fd, SealedLayer sealed) : fd_(fd), sealed_(std::move(sealed)) {}
  int root_fd() const noexcept override { return fd_; }
  bool detached_mount() const noexcept override { return false; }
  SealedLayer seal(CallContext&) override { return sealed_; }
  int fd_;
  SealedLayer sealed_;
};

struct FakeSnapshotter final : Settingless<Snapshotter> {
  SnapshotterTraits traits() const override { return {{"plain"}, "plain", 0}; }
  std::unique_ptr<View> open(const ViewRequest&, CallContext&) override {
    return nothing ? nullptr : std::make_unique<FakeView>(fd, sealed);
  }
  bool nothing = false;
  int fd = 0;
  SealedLayer sealed;
};

class SnapshotterGuard : public ::testing::Test {
 protected:
  SnapshotterGuard() {
    auto p = loaded<FakeSnapshotter>("fake");
    inner = static_cast<FakeSnapshotter*>(p.instance.get());
    guard = guard_snapshotter(std::move(p));
    request.writable = true;
    request.workspace = "/work/w1";
  }
  FakeSnapshotter* inner;
  std::unique_ptr<Snapshotter> guard;
  ViewRequest request;
  testing::FakeContext ctx;
};

TEST_F(SnapshotterGuard, WantsAViewWithARoot) {
  inner->fd = -1;
  EXPECT_EQ(error([&] { guard->open(request, ctx); }),
            "plugin_fault: snapshotter plugin 'fake', open(): returned a view without a root directory");
  inner->nothing = true;
  EXPECT_EQ(error([&] { guard->open(request, ctx); }),
            "plugin_fault: snapshotter plugin 'fake', open(): returned no view");
}

TEST_F(SnapshotterGuard, WantsTheSealedLayerInTheWorkspace) {
  inner->sealed = {"plain", "/work/w1/../w2/layer", 0, 0, false};
  EXPECT_EQ(error([&] { guard->open(request, ctx)->seal(ctx); }),
            "plugin_fault: snapshotter plugin 'fake', View::seal(): sealed a layer at '/work/w1/../w2/layer', outside "
            "its workspace /work/w1");
  inner->sealed = {"odd", "/work/w1/layer", 0, 0, false};
  EXPECT_EQ(
      error([&] { guard->open(request, ctx)->seal(ctx); }),
      "plugin_fault: snapshotter plugin 'fake', View::seal(): sealed a layer of form 'odd', its traits say 'plain'");
  inner->sealed.form = "plain";
  EXPECT_EQ(guard->open(request, ctx)->seal(ctx).path, "/work/w1/layer");
}

// ---- executor ----

struct FakeRunning final : Running {
  explicit FakeRunning(ExecStatus s) : status(std::move(s)) {}
  int done_fd() const noexcept override { return 0; }
  void signal(int) override { throw std::runtime_error("no such process"); }
  ExecStats stats() const override { return {}; }
  ExecStatus wait(CallContext&) override { return status; }
  std::vector<ExecOutput> outputs(CallContext&) override { return {{"a", {}, false}, {"a", {}, false}}; }
  ExecStatus status;
};

struct FakeExecutor final : Settingless<Executor>, LocalExecutor {
  static constexpr const char* kind = Executor::kind;
  ExecutorTraits traits() const override { return {}; }
  void* capability(std::string_view id) noexcept override {
    return id == capability_id ? static_cast<LocalExecutor*>(this) : nullptr;
  }
  std::unique_ptr<Running> start(const ExecRequest&, const Stdio&, LayerTransfer&, CallContext&) override {
    throw Error(Code::unsupported, "local only");
  }
  std::unique_ptr<Running> start_local(const ExecRequest&, const LocalExec&, const Stdio&, CallContext&) override {
    return std::make_unique<FakeRunning>(status);
  }
  ExecStatus status;
};

TEST(ExecutorGuard, GuardsTheLocalCapabilityToo) {
  auto p = loaded<FakeExecutor>("fake");
  auto* inner = static_cast<FakeExecutor*>(p.instance.get());
  const auto guard = guard_executor(std::move(p));
  auto* local = static_cast<LocalExecutor*>(guard->capability(LocalExecutor::capability_id));
  ASSERT_NE(local, nullptr);
  EXPECT_EQ(guard->capability("executor.other/1"), nullptr);
  testing::FakeContext ctx;
  const auto running = local->start_local({}, {}, {}, ctx);
  EXPECT_EQ(error([&] { running->signal(9); }),
            "plugin_fault: executor plugin 'fake', Running::signal(): unexpected exception: no such process");
  EXPECT_EQ(
      error([&] { running->outputs(ctx); }),
      "plugin_fault: executor plugin 'fake', Running::outputs(): returned an output without a name, or one name twice");
  inner->status.kind = ExitKind::not_started;
  EXPECT_EQ(error([&] { local->start_local({}, {}, {}, ctx)->wait(ctx); }),
            "plugin_fault: executor plugin 'fake', Running::wait(): returned not_started without saying why");
}

// ---- network ----

struct FakeAttachment final : Attachment {
  FakeAttachment(Namespace n, std::string host) : ns(n), name(std::move(host)) {}
  Namespace netns() const noexcept override { return ns; }
  int netns_fd() const noexcept override { return -1; }
  std::string resolv_conf() const override { return ""; }
  std::vector<HostEntry> hosts() const override { return {{name, "10.0.0.1"}}; }
  Namespace ns;
  std::string name;
};

struct FakeNetwork final : Settingless<Network> {
  explicit FakeNetwork(Namespace n) : ns(n) {}
  std::string network_class() const override { return "fake"; }
  std::unique_ptr<Attachment> attach(const NetworkRequest& r, CallContext&) override {
    return std::make_unique<FakeAttachment>(ns, r.hostname);
  }
  Namespace ns;
};

TEST(NetworkGuard, WantsANamespaceWhereOneIsPromised) {
  testing::FakeContext ctx;
  const auto joined = guard_network(loaded<FakeNetwork>("fake", Namespace::joined));
  EXPECT_EQ(error([&] { joined->attach({}, ctx); }),
            "plugin_fault: network plugin 'fake', attach(): returned netns_fd() -1, which does not fit its netns()");
}

TEST(NetworkGuard, LetsNoLineBreakIntoAHostsFile) {
  testing::FakeContext ctx;
  const auto host = guard_network(loaded<FakeNetwork>("fake", Namespace::host));
  EXPECT_EQ(host->attach({"e", "fine"}, ctx)->hosts().size(), 1U);
  EXPECT_NE(error([&] { host->attach({"e", "a\n10.0.0.2 bank"}, ctx)->hosts(); }).find("plugin_fault"),
            std::string::npos);
}

// ---- cache ----

struct FakeCache final : Settingless<CacheStore> {
  struct Liar final : ByteStream {
    std::size_t read(void*, std::size_t size) override { return size + 1; }
  };
  CacheStoreTraits traits() const override { return {}; }
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>&, CallContext&) override {
    return {{"other", "x"}};
  }
  void put_record(const std::string&, const std::string&, const std::vector<std::string>&, CallContext&) override {}
  std::vector<std::string> missing(const std::vector<std::string>& d, CallContext&) override { return {d[0], d[0]}; }
  std::unique_ptr<ByteStream> read_blob(const std::string& d, std::int64_t, std::int64_t, CallContext&) override {
    return d == "none" ? nullptr : std::make_unique<Liar>();
  }
  void write_blob(const std::string&, std::int64_t, ByteStream&, CallContext&) override {}
  void touch(const std::vector<std::string>&, CallContext&) override {}
};

TEST(CacheGuard, WantsAnswersToTheQuestions) {
  testing::FakeContext ctx;
  const auto guard = guard_cache_store(loaded<FakeCache>("fake"));
  EXPECT_EQ(error([&] { guard->records({"key"}, ctx); }),
            "plugin_fault: cache plugin 'fake', records(): answered about 'other', which was not asked for, or twice");
  EXPECT_EQ(error([&] { guard->missing({"d"}, ctx); }),
            "plugin_fault: cache plugin 'fake', missing(): answered about 'd', which was not asked for, or twice");
  EXPECT_EQ(error([&] { guard->read_blob("none", 0, -1, ctx); }),
            "plugin_fault: cache plugin 'fake', read_blob(): returned no stream");
  char buffer[8];
  EXPECT_EQ(error([&] { guard->read_blob("d", 0, -1, ctx)->read(buffer, sizeof buffer); }),
            "plugin_fault: cache plugin 'fake', ByteStream::read(): read 9 bytes into a buffer of 8");
}

// ---- secret ----

struct FakeSecret final : Settingless<SecretProvider> {
  std::vector<std::string> schemes() const override { return {"fake"}; }
  UniqueFd open(std::string_view, std::string_view rest, SecretContext&) override {
    if (rest == "none") return UniqueFd();
    if (rest == "file") return open_file("/dev/null", O_RDONLY);
    auto fd = sealed_memfd("value", "secret");
    if (rest == "end") ::lseek(fd.get(), 0, SEEK_END);
    return fd;
  }
};

struct Nobody final : SecretContext {
  bool cancelled() const noexcept override { return false; }
  int cancel_fd() const noexcept override { return -1; }
  void log(LogLevel, std::string_view) noexcept override {}
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<Credentials> credentials(std::string_view) override { return std::nullopt; }
  UniqueFd open_socket(std::string_view) override { return UniqueFd(); }
  UniqueFd open_secret(std::string_view) override { return UniqueFd(); }
  std::optional<std::string> prompt(std::string_view, bool) override { return std::nullopt; }
  std::optional<std::string> client_env(std::string_view) override { return std::nullopt; }
  std::string client_cwd() override { return "/"; }
};

TEST(SecretGuard, WantsASealedMemfdAtItsStart) {
  Nobody ctx;
  const auto guard = guard_secret_provider(loaded<FakeSecret>("fake"));
  EXPECT_TRUE(guard->open("fake", "good", ctx));
  EXPECT_EQ(error([&] { guard->open("fake", "none", ctx); }),
            "plugin_fault: secret plugin 'fake', open(): returned no secret");
  EXPECT_EQ(error([&] { guard->open("fake", "file", ctx); }),
            "plugin_fault: secret plugin 'fake', open(): returned a secret that is not a sealed memfd");
  EXPECT_EQ(error([&] { guard->open("fake", "end", ctx); }),
            "plugin_fault: secret plugin 'fake', open(): returned a secret that is not positioned at 0");
}

// ---- registry ----

struct Tracked final : Settingless<Network> {
  Tracked(std::string name, std::vector<std::string>& destroyed) : name_(std::move(name)), destroyed_(destroyed) {}
  ~Tracked() override { destroyed_.push_back(name_); }
  std::string network_class() const override { return name_; }
  std::unique_ptr<Attachment> attach(const NetworkRequest&, CallContext&) override { return nullptr; }
  std::string name_;
  std::vector<std::string>& destroyed_;
};

class RegistryTest : public ::testing::Test {
 protected:
  std::vector<std::string> destroyed;
  TempDir state_;
  Log log_{Level::off, STDERR_FILENO};
  Spawner spawner_;
  Registry registry_{{{}, state_.path(), "/opt"}, log_, spawner_};
};

TEST_F(RegistryTest, DestroysPluginsInReverseOrder) {
  {
    Registry registry({{}, state_.path(), "/opt"}, log_, spawner_);
    for (const char* name : {"a", "b", "c"}) registry.add(loaded<Tracked>(name, name, destroyed), {});
    EXPECT_EQ(registry.network_classes(), (std::vector<std::string>{"a", "b", "c"}));
  }
  EXPECT_EQ(destroyed, (std::vector<std::string>{"c", "b", "a"}));
}

TEST_F(RegistryTest, MapsANetworkClassAsTheConfigurationSays) {
  PluginChoice choice;
  choice.claims = {"bridge"};
  registry_.add(loaded<Tracked>("cni", "cni", destroyed), choice);
  EXPECT_EQ(registry_.network("bridge").network_class(), "cni");
  EXPECT_EQ(error([&] { registry_.network("host"); }),
            "unsupported: no network of class 'host' is configured (configured: bridge); add a plugin for it to "
            "[network] of the configuration");
}

TEST_F(RegistryTest, AcceptsOneSnapshotterOnly) {
  registry_.add(loaded<FakeSnapshotter>("one"), {});
  EXPECT_EQ(error([&] { registry_.add(loaded<FakeSnapshotter>("two"), {}); }),
            "invalid_argument: snapshotter plugin 'two': there is a snapshotter already; configure one");
}

TEST_F(RegistryTest, RefusesAClaimThatThePluginDoesNotServe) {
  PluginChoice choice;
  choice.claims = {"vault"};
  choice.origin = "dagger.toml:3:1";
  EXPECT_EQ(error([&] { registry_.add(loaded<FakeSecret>("fake"), choice); }),
            "invalid_argument: secret plugin 'fake' does not serve 'vault', it serves fake; correct schemes at "
            "dagger.toml:3:1");
}

TEST_F(RegistryTest, SaysWhatIsMissing) {
  EXPECT_EQ(error([&] { registry_.executor(); }),
            "unsupported: no executor is configured; add [executor] to the configuration");
  EXPECT_TRUE(registry_.caches().empty());
}

}  // namespace
}  // namespace dagger::plugin
