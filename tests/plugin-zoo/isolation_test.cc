// What a plugin in a process of its own can do to the engine: make one call fail.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include "core/base/fs.h"
#include "core/plugin/guard.h"
#include "core/plugin/isolation/isolate.h"
#include "core/plugin/isolation/proxy.h"
#include "core/plugin/registry.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

constexpr const char* again = "; it is started again at the next call";

std::string zoo(const std::string& name) { return std::string(ZOO_DIR) + "/zoo-" + name + ".so"; }

struct NoSink final : SourceSink {
  bool have(const SourceLayer&) override { return false; }
  void tar(const SourceLayer&, ByteStream& stream) override {
    char buffer[64];
    while (stream.read(buffer, sizeof buffer) != 0) {
    }
  }
  std::unique_ptr<Directory> directory(const SourceLayer&) override {
    throw Error(Code::unsupported, "no directories");
  }
};

class Isolated : public ::testing::Test {
 protected:
  PluginChoice choice(const std::string& name) const {
    PluginChoice c;
    c.use = name, c.file = zoo(name), c.isolation = Isolation::process;
    return c;
  }
  Source& load(const std::string& name) {
    registry_.load("source", choice(name));
    return registry_.source("zoo");
  }
  // What pin() of that location throws.
  static std::string failure(Source& source, const std::string& location, CancelToken cancel = {}) {
    try {
      pin(source, location, std::move(cancel));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::plugin_fault) << e.what();
      return e.what();
    }
    return "none";
  }
  static std::string pin(Source& source, const std::string& location, CancelToken cancel = {}) {
    NoSink sink;
    testing::FakeContext context(std::move(cancel));
    return source.pin({"zoo", location, {}, ""}, std::nullopt, sink, context).pin.digest;
  }

  TempDir state_;
  Log quiet_{Level::off, STDERR_FILENO};
  Spawner spawner_;
  Registry registry_{{{ZOO_DIR}, state_.path(), BUILD_DIR}, quiet_, spawner_};
};

TEST_F(Isolated, WorksAsInsideTheEngine) {
  auto& source = load("good");
  EXPECT_EQ(pin(source, "x"), "sha256:00");
  EXPECT_EQ(source.config_schema().find("{\"type\": \"object\""), 0U);
  EXPECT_TRUE(registry_.list().at(0).isolated);
}

struct Crash {
  const char* location;
  const char* message;
};

class IsolatedCrash : public Isolated, public ::testing::WithParamInterface<Crash> {};

TEST_P(IsolatedCrash, FailsOneCallAndIsStartedAgain) {
  if (std::string_view(DAGGER_TAG_SAN) != "" && GetParam().location == std::string_view("heap"))
    GTEST_SKIP() << "a sanitizer has a heap of its own";
  registry_.load("source", choice("crashes"));
  auto& source = registry_.source("zoo");
  EXPECT_EQ(pin(source, "fine"), "sha256:00");
  EXPECT_EQ(failure(source, GetParam().location),
            std::string("source plugin 'crashes', pin(): its process ") + GetParam().message + again);
  EXPECT_EQ(pin(source, "fine"), "sha256:00");
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, IsolatedCrash,
    ::testing::Values(Crash{"segv", "was killed by signal SEGV"}, Crash{"abort", "was killed by signal ABRT"},
                      Crash{"exit", "ended with exit code 3"}, Crash{"stack", "was killed by signal SEGV"},
                      Crash{"heap", "was killed by signal ABRT"},
                      Crash{"noise", "was killed, because it broke the protocol: a message has the unknown kind 110"},
                      Crash{"lie",
                            "was killed, because it broke the protocol: malformed CBOR: an array is longer than its "
                            "bytes"},
                      Crash{"nothing", "was killed, because it broke the protocol: malformed CBOR: it ends too early"}),
    [](const auto& test) { return std::string(test.param.location); });

// With a grace that a test can wait for.
class Impatient : public Isolated {
 protected:
  std::unique_ptr<Source> start(const std::string& name) {
    isolation::Launch launch;
    launch.program = std::string(BUILD_DIR) + "/lib/dagger/dagger-plugin-host";
    launch.label = "source plugin '" + name + "'";
    launch.start = {zoo(name), "source", name, "{}", state_.path(), BUILD_DIR};
    launch.grace = std::chrono::milliseconds(50);
    LoadedPlugin loaded;
    loaded.manifest.kind = "source", loaded.manifest.name = name;
    loaded.instance = isolation::make_source_proxy(std::make_unique<isolation::Supervisor>(launch, spawner_, *logs_));
    return guard_source(std::move(loaded));
  }
  std::optional<isolation::LogReader> logs_{std::in_place, quiet_};
};

TEST_F(Impatient, IsKilledWhenItIgnoresThatItIsCancelled) {
  const auto source = start("crashes");
  for (const char* location : {"hang", "chatter"}) {
    CancelSource cancel;
    std::thread other([&] { cancel.request("test"); });
    EXPECT_EQ(failure(*source, location, cancel.token()),
              std::string("source plugin 'crashes', pin(): its process was killed, because pin() did not return within "
                          "50 ms of being cancelled") +
                  again);
    other.join();
    EXPECT_EQ(pin(*source, "fine"), "sha256:00");
  }
}

TEST_F(Impatient, SurvivesWhateverTheProcessSays) {
  const auto fds = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto before = fds();
  for (int seed = 0; seed < 25; ++seed) {
    const auto source = start("babbles");
    CancelSource cancel;  // where it waits for an answer that never comes
    std::thread other([&] { cancel.request("test"); });
    try {
      pin(*source, std::to_string(seed), cancel.token());
    } catch (const Error&) {  // whatever it is
    }
    other.join();
  }
  logs_.emplace(quiet_);  // the first one has closed what it read
  EXPECT_EQ(fds(), before);
}

TEST_F(Isolated, FailsTheOtherCallsOfTheProcessAsWell) {
  auto& source = load("crashes");
  testing::FakeContext context;
  std::promise<void> hangs;
  context.on_log = [&] { hangs.set_value(); };
  std::string other;
  std::thread hanging([&] {
    NoSink sink;
    try {
      source.pin({"zoo", "hang", {}, ""}, std::nullopt, sink, context);
    } catch (const Error& e) {
      other = e.what();
    }
  });
  hangs.get_future().wait();
  failure(source, "abort");
  hanging.join();
  EXPECT_EQ(other, std::string("source plugin 'crashes', pin(): its process was killed by signal ABRT") + again);
}

TEST_F(Isolated, LeavesOtherPluginsAlone) {
  auto& crashing = load("crashes");
  auto chosen = choice("good");
  chosen.claims = {"zoo"};
  registry_.load("source", chosen);
  auto& good = registry_.source("zoo");
  std::thread other([&] {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pin(good, "x"), "sha256:00");
  });
  failure(crashing, "segv");
  other.join();
}

TEST_F(Isolated, IsStartedAgainFiveTimesAMinuteAtMost) {
  auto& source = load("crashes");
  for (int i = 0; i < 6; ++i) EXPECT_NE(failure(source, "exit").find("ended with exit code 3"), std::string::npos);
  const auto last = failure(source, "fine");
  EXPECT_EQ(
      last.find("source plugin 'crashes', pin(): its process ended too often: it was started 5 times again within a "
                "minute, and is not for the next "),
      0U)
      << last;
}

TEST_F(Isolated, IsNotStartedAgainFromAFileThatIsNotTrustedAnyMore) {
  TempDir mine;
  const auto file = mine.path() + "/source-crashes.so";
  std::filesystem::copy_file(zoo("crashes"), file);
  auto c = choice("crashes");
  c.file = file;
  registry_.load("source", c);
  auto& source = registry_.source("zoo");
  failure(source, "exit");
  ::chmod(file.c_str(), 0666);
  EXPECT_EQ(
      failure(source, "fine"),
      "source plugin 'crashes', pin(): its process cannot be started again: is writable by others (mode 0666); run: "
      "chmod go-w " +
          file);
}

TEST_F(Isolated, SaysWhyItsConstructorRefused) {
  const auto refusal = [&](const std::string& name) {
    try {
      registry_.load("source", choice(name));
    } catch (const Error& e) {
      return std::string(code_name(e.code())) + ": " + e.what();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal("throws_error"), "unavailable: cannot load plugin " + zoo("throws_error") +
                                         ": its constructor refused: no kernel support; load the module zoo");
  EXPECT_EQ(refusal("throws_other"), "plugin_fault: cannot load plugin " + zoo("throws_other") +
                                         ": its constructor refused: non-standard exception");
}

TEST_F(Isolated, SurvivesACrashWhileItIsLoaded) {
  try {
    registry_.load("source", choice("crash_static"));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), "cannot load plugin " + zoo("crash_static") +
                            ": its process was killed by signal ABRT while it was loaded");
  }
}

TEST_F(Isolated, TellsForeignExceptionsAsInsideTheEngine) {
  auto& source = load("foreign_exceptions");
  EXPECT_EQ(failure(source, "x"), "source plugin 'foreign_exceptions', pin(): unexpected exception: libfoo said no");
  NoSink sink;
  testing::FakeContext context;
  try {
    source.fetch({"zoo", "stream", {}, ""}, {}, {}, sink, context);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "source plugin 'foreign_exceptions', fetch(): source plugin 'foreign_exceptions', ByteStream::read(): "
                 "unexpected exception: the stream broke");
  }
}

TEST_F(Isolated, RefusesKindsThatBelongToTheEngine) {
  auto c = choice("overlay");
  c.origin = "dagger.toml:3:1";
  for (const char* kind : {"snapshotter", "executor"}) {
    try {
      isolation::is_isolated(kind, c.file, c, BUILD_DIR);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.what(),
                std::string("dagger.toml:3:1: isolation = \"process\" of ") + kind +
                    " 'overlay': plugins of this kind run inside the engine; remove isolation, or set \"none\"");
    }
  }
}

TEST_F(Isolated, IsTheDefaultOutsideOfTheBundledDirectory) {
  auto c = choice("good");
  c.isolation = Isolation::by_place;
  const auto isolated = [&](const char* kind, const std::string& file) {
    return isolation::is_isolated(kind, file, c, BUILD_DIR);
  };
  EXPECT_TRUE(isolated("source", zoo("good")));
  EXPECT_FALSE(isolated("executor", zoo("good")));
  EXPECT_FALSE(isolated("secret", std::string(BUILD_DIR) + bundled_plugins + "/secret-env.so"));
}

TEST(RestartLimit, AllowsFiveAMinute) {
  isolation::RestartLimit limit;
  const isolation::RestartLimit::Time start{};
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limit.try_restart(start + std::chrono::seconds(i)));
  EXPECT_EQ(limit.try_restart(start + std::chrono::seconds(10)), std::chrono::seconds(50));
  EXPECT_FALSE(limit.try_restart(start + std::chrono::seconds(60)));
  EXPECT_EQ(limit.try_restart(start + std::chrono::seconds(60)), std::chrono::seconds(1));
}

}  // namespace
}  // namespace dagger::plugin
