// The small parts of the solver: windows of output, calls of plugins, pins.
#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "core/solver/call.h"
#include "core/solver/client_owner.h"
#include "core/solver/exec_run.h"
#include "core/solver/pins.h"
#include "tests/support/fake_client.h"
#include "tests/support/fake_store.h"
#include "tests/unit/solver/loop_thread.h"

namespace dagger::solver {
namespace {

using testing::FakeClient;
using testing::LoopThread;
using testing::MemoryStore;

TEST(ErrorWindow, ShowsShortOutputTrimmed) {
  EXPECT_EQ(error_window("", 0), "");
  EXPECT_EQ(error_window(" \n\t\r\n", 5), "");
  EXPECT_EQ(error_window("\n  a b \n\n", 9), "a b");
}

TEST(ErrorWindow, ShowsAllOfAnOutputThatJustFits) {
  const std::string text(error_window_bytes, 'x');
  EXPECT_EQ(error_window(text, text.size()), text);
}

TEST(ErrorWindow, SaysHowMuchOfALongOutputIsLeftOut) {
  const std::string tail(error_window_bytes, 'x');
  const auto shown = error_window(tail, error_window_bytes + 17);
  const std::string note = "[omitting 17 bytes]...";
  EXPECT_TRUE(shown.starts_with(note + "x")) << shown.substr(0, 40);
  EXPECT_EQ(shown.size(), error_window_bytes) << "the note replaces the first bytes";
}

// ---- calls ----

// Asks one client, as a job does, and keeps what it is told.
class Owner final : public CallOwner {
 public:
  Owner(FakeClient& client, Loop& loop) : client_(client), tasks_(loop) {}
  void log(std::string line) override { lines.push_back(std::move(line)); }
  void progress(std::string what, std::int64_t done, std::int64_t total) override {
    lines.push_back(what + " " + std::to_string(done) + "/" + std::to_string(total));
  }
  Task<std::optional<plugin::Credentials>> credentials(std::string realm) override {
    return client_.credentials(std::move(realm), {});
  }
  Task<UniqueFd> open_socket(std::string id) override { return client_.open_socket(std::move(id), {}); }
  Task<std::string> secret(std::string name) override { return client_.secret(std::move(name), {}); }
  TaskGroup& questions() override { return tasks_; }
  std::vector<std::string> lines;

 private:
  FakeClient& client_;
  TaskGroup tasks_;
};

class CallTest : public ::testing::Test {
 protected:
  ~CallTest() override {
    thread_.run([&] { client_.hang_up(); });
    thread_.settle();
    owner_.reset();
  }
  std::vector<std::string> lines() {
    return thread_.run([&] { return owner_->lines; });
  }
  LoopThread thread_;
  FakeClient client_{thread_.loop(), "a"};
  std::shared_ptr<Owner> owner_ = std::make_shared<Owner>(client_, thread_.loop());
  CancelSource cancel_;
  Call call_{thread_.loop(), owner_, cancel_.token()};
};

TEST_F(CallTest, BringsAnAnswerToTheAskingThread) {
  client_.known_credentials["registry"] = {"me", "word"};
  const auto answer = call_.credentials("registry");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->username, "me");
  EXPECT_FALSE(call_.credentials("elsewhere"));
}

TEST_F(CallTest, BringsAnErrorToTheAskingThread) {
  try {
    call_.open_socket("agent");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::not_found);
  }
}

TEST_F(CallTest, EndsAQuestionWhenItIsCancelled) {
  client_.silent = true;
  std::thread canceller([&] {
    client_.wait_until_asked("credentials registry");
    thread_.run([&] { cancel_.request("stop"); });
  });
  try {
    call_.credentials("registry");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::cancelled);
  }
  canceller.join();
  EXPECT_TRUE(call_.cancelled());
  pollfd p{call_.cancel_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 0), 1);
}

TEST_F(CallTest, WithoutAnOwnerHasNobodyToAsk) {
  Call alone(thread_.loop(), nullptr, {});
  alone.log(plugin::LogLevel::info, "nobody hears this");
  alone.progress("bytes", 1, 2);
  try {
    alone.credentials("registry");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unavailable);
  }
}

TEST_F(CallTest, KeepsWhatIsForAuthorsOfPluginsFromTheClient) {
  call_.log(plugin::LogLevel::debug, "for the author");
  call_.log(plugin::LogLevel::warn, "for the user");
  EXPECT_EQ(lines(), std::vector<std::string>{"for the user"});
}

TEST_F(CallTest, PassesLinesOnInTheirOrder) {
  for (const char* line : {"1", "2", "3"}) call_.log(plugin::LogLevel::info, line);
  EXPECT_EQ(lines(), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(CallTest, PassesOnTheFirstAndTheLastProgressOfAQuickTransfer) {
  for (int i = 1; i <= 1000; ++i) call_.progress("bytes", i, 1000);
  const auto all = lines();
  ASSERT_GE(all.size(), 2U);
  EXPECT_LT(all.size(), 100U);
  EXPECT_EQ(all.front(), "bytes 1/1000");
  EXPECT_EQ(all.back(), "bytes 1000/1000");
}

TEST(ClientOwner, TellsTheClientUnderTheStep) {
  LoopThread thread;
  FakeClient client(thread.loop(), "client");
  thread.run([&] {
    TaskGroup tasks(thread.loop());
    ClientOwner owner(client, Digest::of("step"), {}, tasks);
    owner.log("a line");
    owner.progress("layer", 1, 2);
  });
  const auto told = client.events();
  ASSERT_EQ(told.size(), 2U);
  for (const auto& e : told) EXPECT_EQ(e.op, Digest::of("step"));
  EXPECT_EQ(client.log(), "a line\n");
  EXPECT_EQ(told[1].kind, link::EventKind::progress);
  EXPECT_EQ(told[1].text, "layer");
  EXPECT_EQ(told[1].done, 1);
  EXPECT_EQ(told[1].total, 2);
}

// ---- pins ----

KnownPin some_pin() {
  KnownPin pin;
  pin.ref = {"oci", "alpine:3", {{"ref", "main"}}, "linux/amd64"};
  pin.result.pin = {"sha256:aa", "docker.io/library/alpine:3@sha256:aa", "etag"};
  pin.result.shape = plugin::SourceShape::file;
  pin.result.metadata_json = "{}";
  pin.result.file_name = "name";
  pin.result.layers.resize(1);
  pin.result.layers[0] = {"sha256:bb", "sha256:cc", "application/tar", 7, {{"url", "x"}}};
  return pin;
}

TEST(Pins, ComeBackFromTheStoreUnchanged) {
  const auto packed = pack_pin(some_pin());
  const auto pin = unpack_pin(packed);
  EXPECT_EQ(pack_pin(pin), packed);
  EXPECT_EQ(pin.ref.location, "alpine:3");
  EXPECT_EQ(pin.result.pin.validators, "etag");
  EXPECT_EQ(pin.result.shape, plugin::SourceShape::file);
  ASSERT_EQ(pin.result.layers.size(), 1U);
  EXPECT_EQ(pin.result.layers[0].diff_id, "sha256:cc");
  EXPECT_EQ(pin.result.layers[0].attributes.at(0).second, "x");
}

TEST(Pins, ThatAreBrokenAreRefused) {
  const auto packed = pack_pin(some_pin());
  for (std::size_t n = 0; n < packed.size(); ++n) EXPECT_THROW(unpack_pin(packed.substr(0, n)), Error);
}

TEST(Pins, AreNamedByAllThatAReferenceSays) {
  const auto ref = some_pin().ref;
  auto other = ref;
  EXPECT_EQ(pin_name(other), pin_name(ref));
  other.platform = "linux/arm64";
  EXPECT_NE(pin_name(other), pin_name(ref));
  other = ref;
  other.attributes[0].second = "other";
  EXPECT_NE(pin_name(other), pin_name(ref));
}

TEST(Pins, FindALayerAsItWasDelivered) {
  MemoryStore store;
  plugin::SourceLayer layer;
  layer.id = "sha256:bb";
  EXPECT_FALSE(find_layer(store, "git sha256:aa", layer));
  store.put_value("source-layer", layer.id, "");
  EXPECT_EQ(find_layer(store, "git sha256:aa", layer), store::Stack{}) << "delivered, and there was nothing in it";
  store.put_value("source-layer", layer.id, "1");
  EXPECT_FALSE(find_layer(store, "git sha256:aa", layer)) << "the layer is gone";
  const auto path = store.work_dir();
  const auto id = store.publish(path, "sha256:dd");
  EXPECT_EQ(find_layer(store, "git sha256:aa", layer), store::Stack{id});
  layer.id = "elsewhere";
  layer.diff_id = "sha256:dd";
  EXPECT_EQ(find_layer(store, "git sha256:aa", layer), store::Stack{id}) << "the same content from another place";
}

TEST(Pins, KeepLayersWhoseIdIsNoDigestApart) {
  MemoryStore store;
  plugin::SourceLayer layer;
  layer.id = "tree";
  store.put_value("source-layer", "git sha256:aa tree", "");
  EXPECT_TRUE(find_layer(store, "git sha256:aa", layer));
  EXPECT_FALSE(find_layer(store, "git sha256:bb", layer));
  EXPECT_FALSE(find_layer(store, "hg sha256:aa", layer));
}

}  // namespace
}  // namespace dagger::solver
