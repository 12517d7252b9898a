#include "core/solver/slots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>

#include "core/solver/volume_locks.h"
#include "tests/unit/solver/loop_thread.h"

namespace dagger::solver {
namespace {

using testing::LoopThread;
using testing::Pending;

// Execs of clients that take a slot, and give it back when the test says so. All on the loop's thread.
class SlotsTest : public ::testing::Test {
 protected:
  struct Taken {
    std::string owner;
    Slots::Slot slot;
  };

  void limit(unsigned n, unsigned per_owner = UINT_MAX) {
    thread_.run([&] { slots_.emplace(thread_.loop(), n, per_owner); });
  }
  Pending<Unit> take(const std::string& owner, CancelToken cancel = {}) {
    return thread_.start([&] { return take_slot(owner, cancel); });
  }
  // Gives back the first slot of owner.
  void give_back(const std::string& owner) {
    thread_.run([&] { taken_.erase(std::ranges::find(taken_, owner, &Taken::owner)); });
    thread_.settle();
  }
  void lend(const std::string& exec) {
    thread_.run([&] { slots_->lend(exec); });
    thread_.settle();
  }
  void take_back(const std::string& exec) {
    thread_.run([&] { slots_->take_back(exec); });
  }
  // Who has a slot, in the order of getting it.
  std::string holders() {
    thread_.settle();
    return thread_.run([&] {
      std::string all;
      for (const auto& t : taken_) all += t.owner;
      return all;
    });
  }
  std::size_t waiting() {
    return thread_.run([&] { return slots_->waiting(); });
  }
  // Each slot that comes free wakes one that waits, in a turn of its own: until nobody is left.
  ~SlotsTest() override {
    while (thread_.run([&] {
      taken_.clear();
      return slots_->waiting() + slots_->running() != 0;
    })) {
    }
  }

  LoopThread thread_;

 private:
  Task<void> take_slot(std::string owner, CancelToken cancel) {
    auto slot = co_await slots_->acquire(owner, cancel);
    taken_.emplace_back(owner, std::move(slot));
  }
  std::optional<Slots> slots_;
  std::list<Taken> taken_;
};

TEST_F(SlotsTest, AreAsManyAsTheLimitSays) {
  limit(2);
  for (const char* owner : {"a", "b", "c"}) take(owner);
  EXPECT_EQ(holders(), "ab");
  EXPECT_EQ(waiting(), 1U);
  give_back("a");
  EXPECT_EQ(holders(), "bc");
}

TEST_F(SlotsTest, GoToTheClientWithTheFewestRunningExecs) {
  limit(2);
  for (const char* owner : {"a", "a", "a", "a", "b"}) take(owner);
  EXPECT_EQ(holders(), "aa");
  give_back("a");
  EXPECT_EQ(holders(), "ab") << "b came last, but has nothing yet";
  give_back("a");
  EXPECT_EQ(holders(), "ba");
}

TEST_F(SlotsTest, AreNotAllForOneClientWhereThatIsLimited) {
  limit(3, 2);
  for (const char* owner : {"a", "a", "a", "b"}) take(owner);
  EXPECT_EQ(holders(), "aab");
  give_back("b");
  EXPECT_EQ(holders(), "aa");
  give_back("a");
  EXPECT_EQ(holders(), "aa");
}

TEST_F(SlotsTest, AreFirstComeFirstServedWithinAClient) {
  limit(1);
  auto first = take("a"), second = take("a"), third = take("a");
  EXPECT_EQ(holders(), "a");
  EXPECT_TRUE(first.ready());
  give_back("a");
  EXPECT_EQ(holders(), "a");
  EXPECT_TRUE(second.ready());
  EXPECT_FALSE(third.ready());
}

TEST_F(SlotsTest, AreNotTakenByWhoWasCancelledWhileWaiting) {
  limit(1);
  take("a");
  CancelSource cancel;
  auto gone = take("b", cancel.token());
  auto next = take("c");
  thread_.run([&] { cancel.request("stop"); });
  EXPECT_EQ(gone.get().code, Code::cancelled);
  EXPECT_EQ(waiting(), 1U);
  give_back("a");
  EXPECT_EQ(holders(), "c");
}

TEST_F(SlotsTest, AreNotLostWhenTheOneWhoIsServedIsCancelledAtOnce) {
  limit(1);
  take("a");
  CancelSource cancel;
  auto served = take("b", cancel.token());
  thread_.run([&] { cancel.request("stop"); });
  give_back("a");
  take("c");
  EXPECT_EQ(holders(), "c");
}

TEST_F(SlotsTest, AreRefusedToWhoIsCancelledAlready) {
  limit(1);
  CancelSource cancel;
  cancel.request("stop");
  EXPECT_EQ(take("a", cancel.token()).get().code, Code::cancelled);
  EXPECT_EQ(holders(), "");
}

TEST_F(SlotsTest, OfAnExecThatWaitsForItsOwnWorkAreFreeMeanwhile) {
  limit(1);
  take("outer");
  auto inner = take("inner");
  EXPECT_EQ(holders(), "outer");
  lend("x1");
  EXPECT_EQ(holders(), "outerinner");
  take("innermost");
  EXPECT_EQ(waiting(), 1U);
  lend("x2");
  EXPECT_EQ(holders(), "outerinnerinnermost") << "any depth of nesting goes on";
}

TEST_F(SlotsTest, AreLentOnceByAnExecWithManyWaits) {
  limit(1);
  take("outer");
  lend("x1");
  lend("x1");
  take("a");
  take("b");
  EXPECT_EQ(holders(), "outera");
  take_back("x1");
  give_back("a");
  EXPECT_EQ(holders(), "outerb") << "one of the waits is still there";
  take_back("x1");
  take("c");
  give_back("b");
  EXPECT_EQ(holders(), "outer") << "taken back by the last wait";
}

// ---- locked cache volumes ----

class VolumeLocksTest : public ::testing::Test {
 protected:
  using Names = std::set<std::string>;
  Pending<Unit> take(const std::string& who, Names names, CancelToken cancel = {}) {
    return thread_.start([&] { return take_locks(who, names, cancel); });
  }
  void give_back(const std::string& who) {
    thread_.run([&] { held_.erase(who); });
    thread_.settle();
  }
  std::string holders() {
    thread_.settle();
    return thread_.run([&] {
      std::string all;
      for (const auto& [who, held] : held_) all += who;
      return all;
    });
  }
  ~VolumeLocksTest() override {
    while (thread_.run([&] {
      held_.clear();
      return takers_ != 0;
    })) {
    }
  }
  LoopThread thread_;

 private:
  Task<void> take_locks(std::string who, Names names, CancelToken cancel) {
    ++takers_;
    try {
      held_.emplace(who, co_await locks_.acquire(names, cancel));
    } catch (const Error&) {
      --takers_;
      throw;
    }
    --takers_;
  }
  std::size_t takers_ = 0;  // that still wait
  VolumeLocks locks_{thread_.loop()};
  std::map<std::string, VolumeLocks::Held> held_;
};

TEST_F(VolumeLocksTest, LetOneAtATimeInInTheOrderOfComing) {
  for (const char* who : {"a", "b", "c"}) take(who, {"npm"});
  EXPECT_EQ(holders(), "a");
  give_back("a");
  EXPECT_EQ(holders(), "b");
  give_back("b");
  EXPECT_EQ(holders(), "c");
}

TEST_F(VolumeLocksTest, DoNotHinderExecsWithOtherVolumes) {
  take("a", {"npm"});
  take("b", {"yarn"});
  take("c", {});
  EXPECT_EQ(holders(), "abc");
}

TEST_F(VolumeLocksTest, CannotWaitForEachOther) {
  take("a", {"x", "y"});
  take("b", {"y", "x"});
  take("c", {"z", "y"});
  EXPECT_EQ(holders(), "a");
  give_back("a");
  EXPECT_EQ(holders(), "c") << "b waits, holding nothing that c needs";
  give_back("c");
  EXPECT_EQ(holders(), "b");
}

TEST_F(VolumeLocksTest, GiveBackWhatWasTakenWhenTheRestIsCancelled) {
  take("a", {"y"});
  CancelSource cancel;
  auto gone = take("b", {"x", "y"}, cancel.token());
  take("c", {"x"});
  EXPECT_EQ(holders(), "a");
  thread_.run([&] { cancel.request("stop"); });
  EXPECT_EQ(gone.get().code, Code::cancelled);
  EXPECT_EQ(holders(), "ac");
  take("d", {"y"});
  give_back("a");
  EXPECT_EQ(holders(), "cd") << "the cancelled one is not in the way";
}

TEST_F(VolumeLocksTest, SkipWhoIsCancelledInTheSameMomentAsItsTurnComes) {
  take("a", {"x"});
  CancelSource cancel;
  auto gone = take("b", {"x"}, cancel.token());
  take("c", {"x"});
  thread_.run([&] { cancel.request("stop"); });
  give_back("a");
  EXPECT_EQ(holders(), "c");
}

}  // namespace
}  // namespace dagger::solver
