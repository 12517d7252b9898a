// One session as the runner sees it, over a link that is a table of handlers.
#include "core/runner/connected_session.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "tests/unit/solver/engine.h"

namespace dagger::runner {
namespace {

using testing::Engine;

// What a test does with the link. Loop's thread, but for what has the mutex.
struct Wire {
  std::map<std::string, link::Handler> handlers;
  std::map<std::string, link::StreamHandler> streams;
  std::size_t backlog = 0, messages = 0;
  Function<void(std::string)> on_closed;

  std::mutex mutex;
  std::condition_variable changed;
  std::size_t told = 0;  // events
};

class WirePeer final : public link::Peer {
 public:
  explicit WirePeer(std::shared_ptr<Wire> wire) : wire_(std::move(wire)) {
    identity_.scope = "uid:0";
    identity_.labels = {{"inside-exec", "an exec"}};
  }
  void serve(std::string method, link::Handler handler) override { wire_->handlers[method] = std::move(handler); }
  void serve_stream(std::string method, link::StreamHandler handler) override {
    wire_->streams[method] = std::move(handler);
  }
  void start() override {}
  Task<std::string> call(std::string, std::string, CancelToken) override {
    throw Error(Code::unavailable, "nobody answers");
    co_return "";
  }
  std::shared_ptr<link::Stream> open(std::string, std::string) override { return nullptr; }
  void notify(std::string, std::string message) override {
    ++wire_->messages;
    const std::lock_guard lock(wire_->mutex);
    wire_->told += cbor::unpack<link::Events>(message).events.size();
    wire_->changed.notify_all();
  }
  void serve_notify(std::string, Function<void(std::string)>) override {}
  std::size_t backlog() const override { return wire_->backlog; }
  const link::Identity& other() const override { return identity_; }
  void on_closed(Function<void(std::string)> f) override { wire_->on_closed = std::move(f); }
  void close() override {}
  Task<void> join() override { co_return; }

 private:
  std::shared_ptr<Wire> wire_;
  link::Identity identity_;
};

class NoStream final : public link::Stream {
 public:
  std::string read() override { return {}; }
  void write(std::string_view) override {}
  void finish() override {}
  void reset(const Error&) override {}
  void cancel() override {}
};

class ConnectedSessionTest : public ::testing::Test {
 protected:
  ConnectedSessionTest() {
    engine.thread.run([&] {
      session = ConnectedSession::start(std::make_unique<WirePeer>(wire), engine.solver(), info, "session", [] {});
    });
  }
  ~ConnectedSessionTest() override {
    engine.thread.run([&] {
      wire->on_closed("");
      session.reset();
    });
  }
  // As a client tells them, in one turn of the loop.
  void tell(std::size_t times, link::EventKind kind, const std::string& text) {
    engine.thread.run([&] {
      link::Event event;
      event.kind = kind;
      event.text = text;
      for (std::size_t i = 0; i < times; ++i) session->event(event);
    });
  }
  void wait_until_told(std::size_t count) {
    std::unique_lock lock(wire->mutex);
    wire->changed.wait_for(lock, std::chrono::seconds(20), [&] { return wire->told >= count; });
    EXPECT_EQ(wire->told, count);
  }
  void put(const std::vector<dag::Op>& ops) {
    link::PutOps request;
    for (const auto& op : ops) request.ops.push_back(dag::encode(op));
    const auto put =
        engine.thread.start([&] { return wire->handlers["ops.put"](cbor::pack(request), CancelToken()); }).get();
    EXPECT_TRUE(put.value) << put.error;
  }

  Engine engine;
  const RunnerInfo info;
  const std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  std::shared_ptr<ConnectedSession> session;
};

TEST_F(ConnectedSessionTest, DoesNotTakeItsClientsWordForBeingInsideAnExec) { EXPECT_EQ(session->inside_exec(), ""); }

TEST_F(ConnectedSessionTest, TellsEventsTogether) {
  tell(3, link::EventKind::log, "text");
  wait_until_told(3);
  engine.thread.run([&] { EXPECT_EQ(wire->messages, 1U); });
}

TEST_F(ConnectedSessionTest, HoldsEventsBackWhileTheLinkIsFull) {
  engine.thread.run([&] { wire->backlog = 100 << 20; });
  tell(3, link::EventKind::log, "text");
  engine.thread.settle();
  engine.thread.run([&] {
    EXPECT_EQ(wire->messages, 0U);
    wire->backlog = 0;
  });
  wait_until_told(3);
}

TEST_F(ConnectedSessionTest, LeavesOutputOfASlowClientOutButNothingElse) {
  engine.thread.run([&] { wire->backlog = 100 << 20; });
  tell(20, link::EventKind::log, std::string(256 << 10, 'x'));
  tell(2, link::EventKind::finished, "");
  engine.thread.run([&] { wire->backlog = 0; });
  wait_until_told(5 + 2);  // what fits in 1 MiB, and the one that passes it
}

TEST_F(ConnectedSessionTest, CallsOffWhatOnlyAStreamThatWasResetWanted) {
  dag::Exec exec;
  exec.args = {"wait", "never"};
  const std::vector<dag::Op> ops{{dag::Scratch{}, {}}, {exec, {{dag::digest({dag::Scratch{}, {}}), ""}}}};
  put(ops);
  link::PathRequest request;
  request.target = {dag::digest(ops[1]), "root"};
  request.path = "/file";
  CancelSource reset;
  engine.thread.run(
      [&] { wire->streams["file.read"](cbor::pack(request), std::make_shared<NoStream>(), reset.token()); });
  engine.executor.wait_until_started("wait never");
  engine.thread.run([&] { reset.request("nobody reads"); });
  engine.executor.wait_until_signalled("wait never", SIGTERM);
}

}  // namespace
}  // namespace dagger::runner
