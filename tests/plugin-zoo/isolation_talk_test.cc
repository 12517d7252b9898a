// What crosses the boundary between the engine and the process of a plugin, in both directions.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <set>
#include <thread>

#include "core/base/fs.h"
#include "core/plugin/registry.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string zoo(const std::string& name) { return std::string(ZOO_DIR) + "/zoo-" + name + ".so"; }

// Keeps what is delivered.
class Sink final : public SourceSink {
 public:
  bool have(const SourceLayer& layer) override { return layer.id == "there"; }
  void tar(const SourceLayer& layer, ByteStream& stream) override {
    std::string all;
    char buffer[64];
    while (const auto n = stream.read(buffer, sizeof buffer)) all.append(buffer, n);
    const std::lock_guard lock(mutex_);
    tars[layer.id] = all;
  }
  std::unique_ptr<Directory> directory(const SourceLayer& layer) override {
    return std::make_unique<Filled>(*this, layer.id);
  }
  std::map<std::string, std::string> tars;
  std::set<std::string> directories, dropped;

 private:
  class Filled final : public Directory {
   public:
    Filled(Sink& sink, std::string id)
        : sink_(sink), id_(std::move(id)), fd_(open_file(dir_.path(), O_RDONLY | O_DIRECTORY)) {}
    ~Filled() override { sink_.dropped.insert(id_); }
    int fd() const noexcept override { return fd_.get(); }
    void done() override {
      if (exists(dir_.path() + "/filled")) sink_.directories.insert(id_);
    }

   private:
    Sink& sink_;
    std::string id_;
    TempDir dir_;
    UniqueFd fd_;
  };
  std::mutex mutex_;
};

class Context final : public CallContext {
 public:
  explicit Context(CancelToken token = {}) : token_(std::move(token)) {}
  bool cancelled() const noexcept override { return token_.cancelled(); }
  int cancel_fd() const noexcept override { return token_.fd(); }
  void log(LogLevel, std::string_view line) noexcept override { lines.emplace_back(line); }
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override { ++progressed; }
  std::optional<Credentials> credentials(std::string_view realm) override {
    ++asked;
    return realm == "realm" ? std::optional(Credentials{"ann", "s3cret", true}) : std::nullopt;
  }
  UniqueFd open_socket(std::string_view) override { throw Error(Code::not_found, "no sockets"); }
  UniqueFd open_secret(std::string_view id) override { return sealed_memfd("value of " + std::string(id), "secret"); }
  std::vector<std::string> lines;
  std::atomic<int> asked = 0, progressed = 0;

 private:
  CancelToken token_;
};

class IsolatedTalk : public ::testing::Test {
 protected:
  IsolatedTalk() {
    PluginChoice choice;
    choice.use = "talkative", choice.file = zoo("talkative"), choice.isolation = Isolation::process;
    registry_->load("source", choice);
  }
  std::string pin(const std::string& location, Context& context, Attributes attributes = {}) {
    SourceRef ref{"zoo", location, std::move(attributes), "linux/amd64"};
    const Pin last{"sha256:1", "", "the last one"};
    return registry_->source("zoo").pin(ref, last, sink_, context).pin.digest;
  }
  std::string pin(const std::string& location) { return pin(location, context_); }
  std::string log_text() {
    registry_.reset();
    log_.reset();
    return read_file(log_file_);
  }

  TempDir state_;
  const std::string log_file_ = state_.path() + "/log";
  std::optional<Log> log_{std::in_place, Level::debug, log_file_.c_str()};
  Spawner spawner_;
  std::optional<Registry> registry_{std::in_place, RegistryOptions{{ZOO_DIR}, state_.path(), BUILD_DIR}, *log_,
                                    spawner_};
  Sink sink_;
  Context context_;
};

TEST_F(IsolatedTalk, HandsValuesBothWays) {
  EXPECT_EQ(pin("last"), "told:the last one");
  EXPECT_EQ(pin("attributes", context_, {{"ref", "main"}}), "told:ref=main,linux/amd64");
  EXPECT_EQ(pin("credentials"), "told:ann/s3cret/token");
  EXPECT_EQ(pin("secret"), "told:value of token");
  EXPECT_EQ(pin("have"), "told:yes");
}

TEST_F(IsolatedTalk, CarriesWhatDoesNotFitIntoAPacket) {
  const SourceRef ref{"zoo", "large", {}, ""};
  EXPECT_EQ(registry_->source("zoo").pin(ref, std::nullopt, sink_, context_).metadata_json.size(), 3U << 20);
}

TEST_F(IsolatedTalk, AnswersSeveralThreadsOfThePlugin) {
  EXPECT_EQ(pin("threads"), "told:done");
  EXPECT_EQ(sink_.tars.size(), 6U);
  for (const auto& [id, bytes] : sink_.tars) EXPECT_EQ(bytes, std::string(20, 'a')) << id;
  EXPECT_EQ(context_.asked, 6 * 21);
  EXPECT_EQ(context_.progressed, 6 * 21);
}

TEST_F(IsolatedTalk, AnswersAThreadThatAnotherOneWaitsFor) {
  EXPECT_EQ(pin("waits"), "told:done");
  EXPECT_EQ(sink_.tars.at("waits"), "a");
}

TEST_F(IsolatedTalk, LetsAPluginFillDirectories) {
  auto& source = registry_->source("zoo");
  source.fetch({"zoo", "x", {}, ""}, {}, {"whole", "", "", -1, {}}, sink_, context_);
  source.fetch({"zoo", "x", {}, ""}, {}, {"half", "", "", -1, {}}, sink_, context_);
  EXPECT_THAT(sink_.directories, ElementsAre("whole"));
  EXPECT_THAT(sink_.dropped, ElementsAre("half", "whole"));
}

TEST_F(IsolatedTalk, TellsErrorsWithTheirCode) {
  try {
    pin("error");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::not_found);
    EXPECT_STREQ(e.what(), "source plugin 'talkative', pin(): no such thing");
  }
}

TEST_F(IsolatedTalk, TellsThePluginThatItsCallIsCancelled) {
  for (const bool before : {true, false}) {
    CancelSource cancel;
    Context context(cancel.token());
    if (before) cancel.request("test");
    std::thread other([&] { cancel.request("test"); });
    try {
      pin("cancel", context);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::cancelled);
      EXPECT_STREQ(e.what(), "source plugin 'talkative', pin(): as asked");
    }
    other.join();
  }
  EXPECT_EQ(pin("have"), "told:yes");
}

TEST_F(IsolatedTalk, BringsWhatThePluginSaysIntoTheLog) {
  pin("log");
  EXPECT_THAT(context_.lines, ElementsAre("from the context"));
  const auto text = log_text();
  EXPECT_THAT(text, HasSubstr("source plugin 'talkative': from the host interface"));
  EXPECT_THAT(text, HasSubstr("source plugin 'talkative': from stderr"));
}

TEST_F(IsolatedTalk, GivesThePluginNothingThatIsOpenInTheEngine) {
  const UniqueFd careless(::open(log_file_.c_str(), O_RDONLY));  // without O_CLOEXEC
  ASSERT_TRUE(careless);
  const auto fds = pin("fds");
  EXPECT_EQ(fds.find(log_file_), std::string::npos) << fds;
  pin("have"), pin("threads");
  EXPECT_EQ(pin("fds"), fds) << "fds are left behind by calls";
}

TEST_F(IsolatedTalk, TakesTheChildrenOfACrashedPluginAlong) {
  EXPECT_THROW(pin("child and crash"), Error);
  ASSERT_EQ(context_.lines.size(), 1U);
  const int pid = std::stoi(context_.lines[0]);
  const UniqueFd child(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!child) return;  // gone already
  pollfd ended{child.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 5000), 1);
}

TEST_F(IsolatedTalk, EndsWithTheRegistry) {
  pin("child");
  const int pid = std::stoi(context_.lines.at(0));
  const UniqueFd child(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_TRUE(child);
  registry_.reset();
  pollfd ended{child.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 5000), 1);
}

TEST_F(IsolatedTalk, ServesManyCallersAtOnce) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 25; ++round) {
        Context context;
        EXPECT_EQ(pin("credentials", context), "told:ann/s3cret/token");
        EXPECT_EQ(context.asked, 1);
      }
    });
  }
  for (auto& c : callers) c.join();
}

}  // namespace
}  // namespace dagger::plugin
