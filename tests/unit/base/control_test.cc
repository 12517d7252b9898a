// Cancellation, tasks, the loop, pools and the log.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <thread>

#include <boost/asio/io_context.hpp>

#include "core/base/cancel.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/pool.h"
#include "core/base/task.h"

namespace dagger {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno("pipe");
    out.reset(fds[0]);
    in.reset(fds[1]);
  }
  UniqueFd out, in;
};

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

// ---- cancellation

TEST(Cancel, TellsTokensWhyAndOnlyOnce) {
  CancelSource source;
  const auto token = source.token();
  token.throw_if_cancelled();
  EXPECT_FALSE(readable(token.fd()));
  source.request("first");
  source.request("second");
  EXPECT_TRUE(token.cancelled());
  EXPECT_EQ(token.reason(), "first");
  EXPECT_TRUE(readable(token.fd()));
  EXPECT_TRUE(readable(source.token().fd()));
  EXPECT_THROW(token.throw_if_cancelled(), Error);
}

TEST(Cancel, NeverComesFromADefaultToken) {
  const CancelToken token;
  EXPECT_FALSE(token.cancelled());
  EXPECT_FALSE(readable(token.fd()));
  const auto s = token.on_cancel([] { FAIL(); });
}

TEST(Cancel, RunsSubscriptionsOnceAndLateOnesAtOnce) {
  CancelSource source;
  int ran = 0;
  const auto a = source.token().on_cancel([&] { ++ran; });
  {
    const auto dropped = source.token().on_cancel([&] { ran += 100; });
  }
  source.request("x");
  EXPECT_EQ(ran, 1);
  const auto late = source.token().on_cancel([&] { ++ran; });
  EXPECT_EQ(ran, 2);
}

TEST(Cancel, DropsASubscriptionOnlyWhenItNoLongerRuns) {
  for (int i = 0; i < 200; ++i) {
    CancelSource source;
    std::atomic<bool> alive = true, seen_dead = false;
    auto s = source.token().on_cancel([&] { seen_dead = !alive; });
    std::thread canceller([&] { source.request("x"); });
    s = {};
    alive = false;
    canceller.join();
    EXPECT_FALSE(seen_dead);
  }
}

// ---- the loop and tasks

class Control : public ::testing::Test {
 protected:
  void run() {
    loop_.io().restart();
    loop_.run();
  }
  Loop loop_;
};

TEST_F(Control, RunsWhatIsPostedFromAnyThreadInOrder) {
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i)
      loop_.post([&, i] {
        EXPECT_TRUE(loop_.on_thread());
        seen.push_back(i);
      });
    loop_.post([&] { loop_.stop(); });
  });
  run();
  other.join();
  ASSERT_EQ(seen.size(), 100U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(Control, FiresTimersInOrderAndNotWhenCancelled) {
  std::string seen;
  using std::chrono::milliseconds;
  const auto b = loop_.after(milliseconds(4), [&] { seen += 'b'; });
  const auto a = loop_.after(milliseconds(1), [&] { seen += 'a'; });
  auto never = loop_.after(milliseconds(2), [&] { seen += 'x'; });
  const auto end = loop_.after(milliseconds(8), [&] { loop_.stop(); });
  never.cancel();
  EXPECT_FALSE(never.active());
  EXPECT_TRUE(a.active());
  run();
  EXPECT_EQ(seen, "ab");
  EXPECT_FALSE(a.active());
}

TEST_F(Control, NoticesAReadableFdOnceAndItsEnd) {
  Pipe p;
  int seen = 0;
  auto first = loop_.when_readable(p.out.get(), [&] {
    ++seen;
    loop_.stop();
  });
  const auto twice = loop_.when_readable(p.out.get(), [] {});  // one fd may be watched twice
  write_all(p.in.get(), "x");
  run();
  EXPECT_EQ(seen, 1);
  Pipe q;
  const auto end = loop_.when_readable(q.out.get(), [&] { loop_.stop(); });
  q.in.reset();
  run();
  EXPECT_THROW((void)loop_.when_readable(-1, [] {}), Error);
}

Task<int> value(int v) { co_return v; }
Task<int> sum() { co_return co_await value(1) + co_await value(2); }
Task<void> fails() {
  throw Error(Code::not_found, "nothing");
  co_return;
}

Task<void> keep(Task<int> t, int& out) { out = co_await t; }

TEST_F(Control, TasksReturnValues) {
  int got = 0;
  TaskGroup group(loop_);
  group.spawn(keep(sum(), got));
  EXPECT_EQ(got, 3);
}

Task<void> chain(Loop& loop, int depth, int& reached) {
  if (depth > 0) {
    co_await chain(loop, depth - 1, reached);
  } else {
    const OneShot<Unit> later(loop);
    loop.post([later] { later.set({}); });
    co_await later;
  }
  ++reached;
}

Task<void> then_stop(Loop& loop, Task<void> t, std::exception_ptr& error) {
  try {
    co_await t;
  } catch (...) {
    error = std::current_exception();
  }
  loop.stop();
}

TEST_F(Control, AWaiterResumesOutsideOfSet) {
  const OneShot<int> shot(loop_);
  bool inside = false, resumed_inside = false;
  int got = 0;
  struct Waiter {
    static Task<void> go(OneShot<int> s, bool& in, bool& wrong, int& out) {
      out = co_await s;
      wrong = in;
    }
  };
  TaskGroup group(loop_);
  group.spawn(Waiter::go(shot, inside, resumed_inside, got));
  loop_.post([&] {
    inside = true;
    shot.set(7);
    shot.set(8);  // the first counts
    inside = false;
    loop_.post([&] { loop_.stop(); });
  });
  run();
  EXPECT_EQ(got, 7);
  EXPECT_FALSE(resumed_inside);
}

TEST_F(Control, GroupsWaitForAllAndKeepTheFirstError) {
  TaskGroup group(loop_);
  int reached = 0;
  group.spawn(fails());
  group.spawn(chain(loop_, 10, reached));
  std::exception_ptr error;
  TaskGroup outer(loop_);
  outer.spawn(then_stop(loop_, group.join(), error));
  run();
  EXPECT_EQ(reached, 11);
  EXPECT_EQ(group.running(), 0U);
  EXPECT_THROW(std::rethrow_exception(error), Error);
}

Task<void> work_on(Loop& loop, Pool& pool, std::string& log) {
  const int got = co_await on_pool(loop, pool, [&loop] {
    EXPECT_FALSE(loop.on_thread());
    return 5;
  });
  EXPECT_TRUE(loop.on_thread());
  log += std::to_string(got);
  try {
    co_await on_pool(loop, pool, [] { throw Error(Code::no_space, "full"); });
  } catch (const Error& e) {
    log += e.what();
  }
}

TEST_F(Control, BlockingWorkRunsOnAPoolAndComesBack) {
  Pool pool("test", 2);
  std::string log;
  std::exception_ptr error;
  TaskGroup group(loop_);
  group.spawn(then_stop(loop_, work_on(loop_, pool, log), error));
  run();
  EXPECT_EQ(log, "5full");
  EXPECT_FALSE(error);
}

TEST(Pools, FinishWhatIsQueuedBeforeTheyEnd) {
  std::atomic<int> done = 0;
  {
    Pool pool("test", 3);
    for (int i = 0; i < 500; ++i) pool.submit([&] { ++done; });
  }
  EXPECT_EQ(done, 500);
}

// ---- the log

TEST(Logs, WriteLinesFromTheirLevelUp) {
  Pipe p;
  {
    Log log(Level::info, p.in.get());
    log.debug("quiet");
    log.warn("loud");
  }
  p.in.reset();
  const std::string text = read_all(p.out.get(), 4096);
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_NE(text.find("loud"), std::string::npos);
}

TEST(Logs, DoNotBlockOnAPipeThatNobodyReads) {
  Pipe p;
  ::fcntl(p.in.get(), F_SETPIPE_SZ, 4096);
  Log log(Level::info, p.in.get());
  const std::string line(1000, 'x');
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5000; ++i) log.info(line);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  p.out.reset();  // the side thread gives up at once
}

}  // namespace
}  // namespace dagger
