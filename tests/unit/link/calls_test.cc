#include "tests/unit/link/fixture.h"

namespace dagger::link {
namespace {

using Calls = LinkTest;

TEST_F(Calls, GoBothWays) {
  connect_pair();
  server_->serve("greet", [](std::string r, CancelToken t) { return echo("server " + r, t); });
  client_->serve("greet", [](std::string r, CancelToken t) { return echo("client " + r, t); });
  start();
  EXPECT_EQ(run(client_->call("greet", "x", {})), "echo server x");
  EXPECT_EQ(run(server_->call("greet", "y", {})), "echo client y");
}

TEST_F(Calls, KnowWhoIsAtTheOtherEnd) {
  auto mine = options();
  mine.labels = {{"host", "here"}};
  connect_pair(mine);
  EXPECT_EQ(server_->other().software, "test 1.0");
  EXPECT_EQ(server_->other().labels, (std::vector<std::pair<std::string, std::string>>{{"host", "here"}}));
  EXPECT_EQ(server_->other().scope, "uid:" + std::to_string(::getuid()));
}

TEST_F(Calls, OfAnUnknownMethodAreUnsupported) {
  connect_pair();
  start();
  const auto e = failure(client_->call("nothing", "", {}));
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), Code::unsupported);
  EXPECT_NE(std::string(e->what()).find("'nothing'"), std::string::npos);
}

TEST_F(Calls, CarryMessagesOfMegabytes) {
  connect_pair();
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  start();
  const std::string big(5 << 20, 'b');
  EXPECT_EQ(run(client_->call("echo", big, {})), "echo " + big);
}

TEST_F(Calls, RefuseAMessageThatIsTooLarge) {
  connect_pair();
  start();
  const auto e = failure(client_->call("echo", std::string((64 << 20) + 1, 'x'), {}));
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), Code::invalid_argument);
}

Task<std::string> fail_with(std::string request, CancelToken) {
  if (request == "details") throw DetailedError(Error(Code::exec_failed, "exit code 3"), std::string("\0out", 4));
  if (request == "other") throw std::runtime_error("odd");
  throw Error(Code::no_space, "the disk is full");
  co_return "";
}

TEST_F(Calls, BringBackErrorsWithCodeAndText) {
  connect_pair();
  server_->serve("fail", [](std::string r, CancelToken t) { return fail_with(std::move(r), t); });
  start();
  const auto e = failure(client_->call("fail", "plain", {}));
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), Code::no_space);
  EXPECT_STREQ(e->what(), "the disk is full");
  EXPECT_EQ(failure(client_->call("fail", "other", {}))->code(), Code::internal);
  try {
    run(client_->call("fail", "details", {}));
    FAIL();
  } catch (const DetailedError& d) {
    EXPECT_EQ(d.error().code(), Code::exec_failed);
    EXPECT_EQ(d.details(), std::string("\0out", 4));
  }
}

Task<void> many(Peer& peer, int n, int& good) {
  for (int i = 0; i < n; ++i) {
    const std::string text = std::to_string(i) + std::string(static_cast<std::size_t>(i) * 37, 'z');
    const std::string reply = co_await peer.call("echo", text, {});
    if (reply == "echo " + text) ++good;
  }
}

Task<void> in_parallel(Loop& loop, Peer& peer, int lanes, int n, int& good) {
  TaskGroup group(loop);
  for (int i = 0; i < lanes; ++i) group.spawn(many(peer, n, good));
  co_await group.join();
}

TEST_F(Calls, RunInParallel) {
  connect_pair();
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  start();
  int good = 0;
  run(in_parallel(loop_, *client_, 50, 20, good));
  EXPECT_EQ(good, 1000);
}

// A handler that waits until it is cancelled.
struct Waiting {
  explicit Waiting(Loop& l) : loop(l) {}
  Task<std::string> serve(std::string, CancelToken cancel) {
    ++running;
    const OneShot<Unit> done(loop);
    const auto subscription = cancel.on_cancel([&] { done.set({}); });
    co_await done;
    reason = cancel.reason();
    --running;
    throw Error(Code::cancelled, reason);
  }
  Handler handler() {
    return [this](std::string r, CancelToken t) { return serve(std::move(r), t); };
  }
  Loop& loop;
  int running = 0;
  std::string reason;
};

TEST_F(Calls, AreCancelledAtBothEnds) {
  connect_pair();
  Waiting waiting(loop_);
  server_->serve("wait", waiting.handler());
  start();
  CancelSource source;
  bool over = false;
  std::optional<Error> error;
  TaskGroup group(loop_);
  struct Caller {
    static Task<void> go(Peer& p, CancelToken t, std::optional<Error>& e, bool& done) {
      try {
        co_await p.call("wait", "", t);
      } catch (const Error& x) {
        e = x;
      }
      done = true;
    }
  };
  group.spawn(Caller::go(*client_, source.token(), error, over));
  until([&] { return waiting.running == 1; });
  std::thread([&] { source.request("ctrl-c"); }).join();  // from any thread
  until([&] { return over && waiting.running == 0; });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::cancelled);
  EXPECT_EQ(waiting.reason, "ctrl-c");
  drain();
}

TEST_F(Calls, EndWhenThePeerIsDestroyed) {
  connect_pair();
  Waiting waiting(loop_);
  server_->serve("wait", waiting.handler());
  start();
  std::optional<Error> error;
  bool over = false;
  struct Caller {
    static Task<void> go(Peer& p, std::optional<Error>& e, bool& done) {
      try {
        co_await p.call("wait", "", {});
      } catch (const Error& x) {
        e = x;
      }
      done = true;
    }
  };
  TaskGroup group(loop_);
  group.spawn(Caller::go(*client_, error, over));
  until([&] { return waiting.running == 1; });
  client_.reset();
  until([&] { return over && waiting.running == 0; });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::unavailable);
  drain();
}

TEST_F(Calls, OnADeadLinkAreUnavailable) {
  connect_pair();
  start();
  std::optional<std::string> reason;
  client_->on_closed([&](std::string r) { reason = std::move(r); });
  server_.reset();
  until([&] { return reason.has_value(); });
  EXPECT_EQ(*reason, "");  // orderly
  EXPECT_EQ(failure(client_->call("x", "", {}))->code(), Code::unavailable);
  EXPECT_THROW(client_->open("x", ""), Error);
  client_->notify("x", "");
}

TEST_F(Calls, AreJoinedBeforeTheirOwnerGoes) {
  connect_pair();
  Waiting waiting(loop_);
  server_->serve("wait", waiting.handler());
  start();
  bool over = false;
  struct Caller {
    static Task<void> go(Peer& p, bool& done) {
      try {
        co_await p.call("wait", "", {});
      } catch (const Error&) {
      }
      done = true;
    }
  };
  TaskGroup group(loop_);
  group.spawn(Caller::go(*client_, over));
  until([&] { return waiting.running == 1; });
  run(server_->join());
  EXPECT_EQ(waiting.running, 0);
  until([&] { return over; });
  drain();
}

TEST_F(Calls, MayEndTheirOwnPeer) {
  connect_pair();
  server_->serve("end", [this](std::string r, CancelToken t) {
    server_.reset();
    return echo(std::move(r), t);
  });
  start();
  EXPECT_EQ(failure(client_->call("end", "x", {}))->code(), Code::unavailable);
}

TEST_F(Calls, WaitForAPeerThatIsNotStarted) {
  connect_pair();
  server_->serve("echo", [](std::string r, CancelToken t) { return echo(std::move(r), t); });
  client_->start();
  client_->notify("n", "early");
  loop_.post([this] { server_->start(); });
  EXPECT_EQ(run(client_->call("echo", "x", {})), "echo x");
}

TEST_F(Calls, NotificationsKeepTheirOrder) {
  connect_pair();
  std::vector<std::string> seen;
  server_->serve_notify("n", [&](std::string m) { seen.push_back(std::move(m)); });
  start();
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) sent.push_back(std::to_string(i) + std::string(i % 7 == 0 ? 150'000 : 1, 'n'));
  for (const auto& m : sent) client_->notify("n", m);
  until([&] { return seen.size() == sent.size(); });
  EXPECT_EQ(seen, sent);
}

TEST_F(Calls, ANotificationThatCannotBeReadEndsTheLink) {
  connect_pair();
  server_->serve_notify("n", [](const std::string&) { throw Error(Code::corrupt_data, "malformed"); });
  std::string why;
  client_->on_closed([&](std::string reason) { why = std::move(reason); });
  start();
  client_->notify("n", "");
  until([&] { return !why.empty(); });
  EXPECT_EQ(why, "the notification 'n' could not be read: malformed");
}

TEST_F(Calls, NotificationsBeforeAGoodbyeArrive) {
  connect_pair();
  int seen = 0;
  bool closed = false;
  server_->serve_notify("n", [&](std::string) { ++seen; });
  server_->on_closed([&](std::string) { closed = true; });
  start();
  for (int i = 0; i < 120; ++i) client_->notify("n", std::string(200'000, 'x'));  // more than what stops receiving
  client_.reset();
  until([&] { return closed; });
  EXPECT_EQ(seen, 120);
}

}  // namespace
}  // namespace dagger::link
