// What is made, what is found, and what clients are told of it.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/unit/solver/engine.h"

namespace dagger::solver {
namespace {

using testing::Engine;
using testing::FakeClient;
using Lines = std::vector<std::string>;

const auto expect_any = [](dag::Op&, dag::Exec& e) { e.expect = dag::Expect::any; };

TEST(Solver, RunsAnExecAndKeepsItsOutputAndItsChanges) {
  Engine engine;
  auto& a = engine.client("a");
  const auto written = engine.exec(a, {"write", "/dir/file", "text"}, engine.scratch(a));
  EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/dir/file"}, written)), "text");
  EXPECT_EQ(engine.executor.order(), (Lines{"write /dir/file text", "cat /dir/file"}));
  EXPECT_EQ(engine.get(a, written).value->stack.size(), 1U);
  EXPECT_EQ(engine.jobs(), 0U);
}

TEST(Solver, GivesAnEmptyStackForNothing) {
  Engine engine;
  auto& a = engine.client("a");
  EXPECT_TRUE(engine.get(a, engine.scratch(a)).value->stack.empty());
  const auto merged = engine.add(a, {{dag::Merge{}, {engine.scratch(a), engine.scratch(a)}}});
  EXPECT_TRUE(engine.get(a, merged).value->stack.empty());
  EXPECT_EQ(engine.memory.usage().records, 0U);
}

TEST(Solver, MergesByPuttingStacksOnEachOther) {
  Engine engine;
  auto& a = engine.client("a");
  const auto low = engine.write(a, engine.scratch(a), "/f", "low");
  const auto high = engine.write(a, engine.write(a, engine.scratch(a), "/g", "g"), "/f", "high");
  const auto merged = engine.get(a, engine.add(a, {{dag::Merge{}, {low, high}}}));
  auto expected = engine.get(a, low).value->stack;
  const auto above = engine.get(a, high).value->stack;
  expected.insert(expected.end(), above.begin(), above.end());
  EXPECT_EQ(merged.value->stack, expected);
  EXPECT_EQ(expected.size(), 3U);
}

TEST(Solver, RunsAnOpThatTwoClientsWantOnce) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto in_a = engine.exec(a, {"wait", "gate", "result"}, engine.scratch(a));
  const auto in_b = engine.exec(b, {"wait", "gate", "result"}, engine.scratch(b));
  auto first = engine.want(a, in_a);
  engine.executor.wait_until_started("wait gate result");
  auto second = engine.want(b, in_b);
  engine.executor.open("gate");
  const auto one = first.get(), two = second.get();
  ASSERT_TRUE(one.value && two.value);
  EXPECT_EQ(one.value->record, two.value->record);
  EXPECT_EQ(engine.executor.started(), 1U);
}

TEST(Solver, RunsAnOpThatIsReachedByManyWaysOnce) {
  Engine engine;
  auto& a = engine.client("a");
  const auto base = engine.exec(a, {"write", "/base", "x"}, engine.scratch(a));
  std::vector<dag::Ref> parts;
  for (const char* name : {"/1", "/2", "/3"}) parts.push_back(engine.exec(a, {"write", name, "x"}, base));
  EXPECT_TRUE(engine.get(a, engine.add(a, {{dag::Merge{}, parts}})).value);
  EXPECT_EQ(engine.executor.started("write /base x"), 1U);
  EXPECT_EQ(engine.executor.started(), 4U);
}

TEST(Solver, RunsIndependentExecsBesideEachOther) {
  Engine engine;
  auto& a = engine.client("a");
  std::vector<dag::Ref> parts;
  for (const char* gate : {"1", "2", "3"}) parts.push_back(engine.exec(a, {"wait", gate}, engine.scratch(a)));
  auto all = engine.want(a, engine.add(a, {{dag::Merge{}, parts}}));
  for (const char* gate : {"1", "2", "3"}) engine.executor.wait_until_started(std::string("wait ") + gate);
  EXPECT_EQ(engine.executor.running(), 3U);
  for (const char* gate : {"1", "2", "3"}) engine.executor.open(gate);
  EXPECT_TRUE(all.get().value);
}

TEST(Solver, ShowsOutputWhileItComesAndHitsOnce) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto op = engine.exec(a, {"echo", "hello"}, engine.scratch(a));
  ASSERT_TRUE(engine.get(a, op).value);
  EXPECT_EQ(a.log(), "hello\n");
  EXPECT_EQ(a.story(), (Lines{"started exec echo hello: never made before", "done exec echo hello"}));
  for (const auto& e : a.events()) EXPECT_EQ(e.op, op.op);
  EXPECT_EQ(a.events()[1].stream, 1U);

  const auto same = engine.exec(b, {"echo", "hello"}, engine.scratch(b));
  ASSERT_TRUE(engine.get(b, same).value);
  ASSERT_TRUE(engine.get(b, same).value);
  EXPECT_EQ(b.story(), Lines{"cached exec echo hello: definition"});
  EXPECT_EQ(engine.executor.started(), 1U);
}

TEST(Solver, ShowsTheTwoStreamsApart) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, engine.exec(a, {"err", "oh"}, engine.scratch(a)));
  ASSERT_TRUE(answer.value);
  EXPECT_EQ(engine.memory.blob(answer.value->record->stderr_log), "oh\n");
  EXPECT_EQ(engine.memory.blob(answer.value->record->stdout_log), "");
  for (const auto& e : a.events())
    if (e.kind == link::EventKind::log) EXPECT_EQ(e.stream, 2U);
}

// ---- reasons ----

class Reasons : public ::testing::Test {
 protected:
  using Change = std::function<void(dag::Op&, dag::Exec&)>;
  // Why the second of two execs runs.
  std::string why(const Change& first, const Change& second) {
    auto& a = engine_.client("a");
    EXPECT_TRUE(engine_.get(a, engine_.exec(a, {"true"}, engine_.scratch(a), first)).value);
    auto& b = engine_.client("b");
    EXPECT_TRUE(engine_.get(b, engine_.exec(b, {"true"}, engine_.scratch(b), second)).value);
    for (const auto& e : b.events())
      if (e.kind == link::EventKind::started) return e.reason;
    return "it did not run";
  }
  Engine engine_;
};

const auto variable = [](const char* value) {
  return [value](dag::Op&, dag::Exec& e) { e.env = {{"FOO", value}, {"BAR", "x"}}; };
};

TEST_F(Reasons, NameTheEnvironmentVariableThatChanged) {
  EXPECT_EQ(why(variable("1"), variable("2")), "environment variable FOO changed");
}

TEST_F(Reasons, NameTheVariableThatIsNew) {
  EXPECT_EQ(why({}, variable("1")).substr(0, 31), "environment variable FOO is new");
}

TEST_F(Reasons, NameTheCommandInTheSamePlace) {
  EXPECT_EQ(why({}, [](dag::Op&, dag::Exec& e) { e.args = {"echo"}; }), "command changed");
}

TEST_F(Reasons, AreNoneForAStepThatDidNotChange) { EXPECT_EQ(why(variable("1"), variable("1")), "it did not run"); }

TEST_F(Reasons, NameTheFileOfAnInputThatChanged) {
  auto &a = engine_.client("a"), &b = engine_.client("b");
  const auto step = [&](FakeClient& c, const std::string& root, const std::string& source) {
    const auto mounted = engine_.write(c, engine_.scratch(c), "/file", source);
    return engine_.exec(c, {"true"}, engine_.write(c, engine_.scratch(c), "/root", root), [&](auto& op, auto& e) {
      op.inputs.push_back(mounted);
      e.mounts.push_back({dag::MountType::tree, "/src", 1, "", true});
    });
  };
  ASSERT_TRUE(engine_.get(a, step(a, "one", "one")).value);
  ASSERT_TRUE(engine_.get(b, step(b, "one", "second")).value);
  ASSERT_TRUE(engine_.get(b, step(b, "second", "second")).value);
  EXPECT_EQ(b.story(), (Lines{"started write /file: never made before", "done write /file",
                              "started exec true: input file file changed", "done exec true",
                              "started write /root: never made before", "done write /root",
                              "started exec true: input file /root changed", "done exec true"}));
}

// An exec on a host directory, which came as these files.
class HostDirectoryReasons : public Reasons {
 protected:
  using Files = std::map<std::string, std::string>;
  dag::Ref host(FakeClient& c, const Files& files) {
    const auto path = engine_.memory.work_dir();
    std::string all;
    for (const auto& [name, text] : files) {
      make_dirs(parent_path(path + "/" + name));
      write_file_atomically(path + "/" + name, text);
      all += name + text;
    }
    const auto ref = engine_.add(c, {{dag::Local{Digest::of(all)}, {}}});
    store::Record record;
    record.key = engine_.thread.run([&] { return c.graph()->find(ref.op)->key; });
    record.kind = "local";
    record.outputs = {{"", -1, {engine_.memory.publish(path, "")}}};
    engine_.memory.put(std::move(record));
    return ref;
  }
  using Use = std::function<dag::Ref(FakeClient&, dag::Ref directory)>;
  // Why the last step runs when the directory has changed.
  std::string why_after(const Files& before, const Files& now, const Use& use) {
    auto &a = engine_.client("a"), &b = engine_.client("b");
    EXPECT_TRUE(engine_.get(a, use(a, host(a, before))).value);
    EXPECT_TRUE(engine_.get(b, use(b, host(b, now))).value);
    std::string reason;
    for (const auto& e : b.events())
      if (e.kind == link::EventKind::started) reason = e.reason;
    return reason;
  }
  dag::Ref mounted(FakeClient& c, dag::Ref directory) {
    return engine_.exec(c, {"true"}, engine_.scratch(c), [&](auto& op, auto& e) {
      op.inputs.push_back(std::move(directory));
      e.mounts.push_back({dag::MountType::tree, "/src", 1, "", true});
    });
  }
  const Use mounted_ = [this](FakeClient& c, dag::Ref d) { return mounted(c, std::move(d)); };
};

TEST_F(HostDirectoryReasons, NameTheFileThatChanged) {
  EXPECT_EQ(why_after({{"src/main.c", "old"}, {"README", "x"}}, {{"src/main.c", "newer"}, {"README", "x"}}, mounted_),
            "input file src/main.c changed");
}

TEST_F(HostDirectoryReasons, NameFilesThatCameAndWent) {
  EXPECT_EQ(why_after({{"a", "x"}, {"gone", "x"}}, {{"a", "x"}, {"come", "x"}}, mounted_),
            "input file come is new, input file gone is gone");
}

TEST_F(HostDirectoryReasons, SayHowManyMoreThereAre) {
  Files before, now;
  for (int i = 0; i < 10; ++i) before[std::to_string(i)] = "old", now[std::to_string(i)] = "newer";
  EXPECT_EQ(why_after(before, now, mounted_),
            "input file 0 changed, input file 1 changed, input file 2 changed and 7 more");
}

TEST_F(HostDirectoryReasons, NameTheFileWhereItWasCopiedTo) {
  EXPECT_EQ(why_after({{"main.c", "old"}}, {{"main.c", "newer"}},
                      [this](FakeClient& c, dag::Ref directory) {
                        dag::Copy copy;
                        copy.target = "/src";
                        return engine_.exec(c, {"true"}, engine_.add(c, {{copy, {engine_.scratch(c), directory}}}));
                      }),
            "input file /src/main.c changed");
}

TEST_F(HostDirectoryReasons, LookPastStepsThatChangedNothing) {
  EXPECT_EQ(why_after({{"main.c", "old"}}, {{"main.c", "newer"}},
                      [this](FakeClient& c, dag::Ref directory) {
                        const auto none = engine_.add(c, {{dag::Remove{"/none", false}, {std::move(directory)}}});
                        return mounted(c, engine_.write(c, none, "/other", "x"));
                      }),
            "input file main.c changed");
}

TEST_F(HostDirectoryReasons, NameTheInputWhereAnotherStepMakesIt) {
  EXPECT_EQ(why_after({{"main.c", "old"}}, {{"main.c", "newer"}},
                      [this](FakeClient& c, dag::Ref directory) {
                        if (c.name() == "a") return mounted(c, std::move(directory));
                        return mounted(c, engine_.write(c, std::move(directory), "/other", "x"));
                      }),
            "input /src changed");
}

TEST_F(HostDirectoryReasons, NameTheInputWhereItsFilesAreUnknown) {
  EXPECT_EQ(why_after({{"main.c", "old"}}, {{"main.c", "newer"}},
                      [this](FakeClient& c, dag::Ref directory) {
                        return mounted(c, engine_.add(c, {{dag::Merge{}, {std::move(directory)}}}));
                      }),
            "input /src changed");
}

// ---- content keys ----

TEST(ContentKey, FindsAStepWhoseInputsCameAboutInAnotherWay) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto once = engine.exec(a, {"write", "/f", "same"}, engine.scratch(a));
  ASSERT_TRUE(engine.get(a, engine.exec(a, {"echo", "late"}, once)).value);

  // Another definition, the same bytes; and everything after it is found again.
  const auto again = engine.exec(b, {"write", "/f", "same"}, engine.scratch(b),
                                 [](dag::Op&, dag::Exec& e) { e.env = {{"UNUSED", "1"}}; });
  const auto late = engine.exec(b, {"echo", "late"}, again);
  const auto last = engine.exec(b, {"echo", "last"}, late);
  ASSERT_TRUE(engine.get(b, last).value);
  EXPECT_EQ(engine.executor.started("echo late"), 1U);
  EXPECT_EQ(engine.executor.started("echo last"), 1U);
  EXPECT_EQ(b.story(), (Lines{"started exec write /f same: environment variable UNUSED is new",
                              "done exec write /f same", "cached exec echo late: content",
                              "started exec echo last: never made before", "done exec echo last"}));
}

TEST(ContentKey, PutsWhatWasFoundOnTheInputsOfThisRun) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto change = [](dag::Op&, dag::Exec& e) { e.env = {{"UNUSED", "1"}}; };
  const auto base_a = engine.exec(a, {"write", "/f", "same"}, engine.scratch(a));
  const auto base_b = engine.exec(b, {"write", "/f", "same"}, engine.scratch(b), change);
  const auto one = engine.get(a, engine.exec(a, {"write", "/g", "g"}, base_a)).value->stack;
  const auto two = engine.get(b, engine.exec(b, {"write", "/g", "g"}, base_b)).value->stack;
  ASSERT_EQ(one.size(), 2U);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_NE(one[0], two[0]);
  EXPECT_EQ(one[1], two[1]);
}

TEST(ContentKey, WaitsForNothing) {
  Engine engine;
  engine.memory.hold_digests();
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto change = [](dag::Op&, dag::Exec& e) { e.env = {{"UNUSED", "1"}}; };
  const auto late = [&](FakeClient& c, const std::function<void(dag::Op&, dag::Exec&)>& how) {
    return engine.exec(c, {"echo", "late"}, engine.exec(c, {"write", "/f", "same"}, engine.scratch(c), how));
  };
  ASSERT_TRUE(engine.get(a, late(a, {})).value);
  ASSERT_TRUE(engine.get(b, late(b, change)).value);
  EXPECT_EQ(engine.executor.started("echo late"), 2U) << "no digest was known";
  // Digests that come later make the records of by then findable.
  engine.memory.digest_now();
  auto& c = engine.client("c");
  ASSERT_TRUE(engine.get(c, late(c, [](dag::Op&, dag::Exec& e) { e.env = {{"UNUSED", "2"}}; })).value);
  EXPECT_EQ(engine.executor.started("echo late"), 2U);
}

TEST(ContentKey, MayComeWhenTheSolverIsGone) {
  Engine engine;
  engine.memory.hold_digests();
  auto& a = engine.client("a");
  const auto base = engine.write(a, engine.scratch(a), "/f", "x");
  ASSERT_TRUE(engine.get(a, engine.exec(a, {"true"}, base)).value);
  engine.close();
  engine.memory.digest_now();
}

TEST(ContentKey, LooksAtTimesOnlyWhereTheyWereSet) {
  Engine engine;
  const auto run = [&](const std::string& name, bool set_times, std::int64_t time) {
    auto& c = engine.client(name);
    // The same bytes from another definition, written at another moment.
    auto base = engine.exec(c, {"write", "/f", "x"}, engine.scratch(c),
                            [&](dag::Op&, dag::Exec& e) { e.env = {{"NAME", name}}; });
    if (set_times) base = engine.add(c, {{dag::Timestamps{time}, {base}}});
    EXPECT_TRUE(engine.get(c, engine.exec(c, {"echo", set_times ? "timed" : "plain"}, base)).value);
  };
  run("a", false, 0);
  run("b", false, 0);
  EXPECT_EQ(engine.executor.started("echo plain"), 1U);
  run("c", true, 1000);
  run("d", true, 2000);
  EXPECT_EQ(engine.executor.started("echo timed"), 2U);
}

// ---- failure ----

TEST(Failure, ReachesEveryDependentAndEveryWaiter) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto pipeline = [&](FakeClient& c, const std::string& last) {
    const auto bad = engine.exec(c, {"exit", "3"}, engine.exec(c, {"wait", "gate"}, engine.scratch(c)));
    return engine.exec(c, {"echo", last}, engine.exec(c, {"true"}, bad));
  };
  auto first = engine.want(a, pipeline(a, "one")), second = engine.want(a, pipeline(a, "two")),
       third = engine.want(b, pipeline(b, "one"));
  engine.executor.wait_until_started("wait gate");
  engine.executor.open("gate");
  for (auto* wanted : {&first, &second, &third}) {
    const auto answer = wanted->get();
    ASSERT_TRUE(answer.value) << answer.error;
    ASSERT_TRUE(answer.value->failure);
    EXPECT_EQ(answer.value->failure->exit_code, 3);
    EXPECT_EQ(answer.value->failure->args, (Lines{"exit", "3"}));
  }
  EXPECT_EQ(engine.executor.started(), 2U);
  EXPECT_EQ(engine.jobs(), 0U);
}

TEST(Failure, OfOnePartCallsTheOthersOff) {
  Engine engine;
  auto& a = engine.client("a");
  const auto slow = engine.exec(a, {"wait", "never"}, engine.scratch(a));
  const auto bad = engine.exec(a, {"exit", "1"}, engine.exec(a, {"wait", "gate"}, engine.scratch(a)));
  auto both = engine.want(a, engine.add(a, {{dag::Merge{}, {slow, bad}}}));
  engine.executor.wait_until_started("wait never");
  engine.executor.open("gate");
  const auto answer = both.get();
  ASSERT_TRUE(answer.value) << answer.error;
  EXPECT_EQ(answer.value->failure->exit_code, 1);
  engine.executor.wait_until_signalled("wait never", SIGTERM);
}

TEST(Failure, IsNotRecorded) {
  Engine engine;
  auto& a = engine.client("a");
  const auto bad = engine.exec(a, {"exit", "1"}, engine.scratch(a));
  EXPECT_TRUE(engine.get(a, bad).value->failure);
  EXPECT_TRUE(engine.get(a, bad).value->failure);
  EXPECT_EQ(engine.executor.started(), 2U);
  EXPECT_EQ(engine.memory.usage().records, 0U);
}

TEST(Failure, ThatWasExpectedIsAResultWithItsExitCode) {
  Engine engine;
  auto& a = engine.client("a");
  const auto any = engine.exec(a, {"exit", "4"}, engine.scratch(a), expect_any);
  for (int i = 0; i < 2; ++i) {
    const auto answer = engine.get(a, any);
    ASSERT_TRUE(answer.value && !answer.value->failure) << answer.error;
    EXPECT_EQ(answer.value->record->exit_code, 4);
  }
  const auto must_fail = [](dag::Op&, dag::Exec& e) { e.expect = dag::Expect::failure; };
  EXPECT_EQ(engine.get(a, engine.exec(a, {"exit", "5"}, engine.scratch(a), must_fail)).value->record->exit_code, 5);
  EXPECT_TRUE(engine.get(a, engine.exec(a, {"true"}, engine.scratch(a), must_fail)).value->failure);
  EXPECT_EQ(engine.executor.started(), 3U);
}

// All else that a client learns of a failed exec is in the error, and asking again tries again.
TEST(Failure, ThatWasExpectedKeepsItsOutputAndItsChanges) {
  Engine engine;
  auto& a = engine.client("a");
  const auto any = engine.exec(a, {"fail", "4", "/report", "text"}, engine.scratch(a), expect_any);
  const auto answer = engine.get(a, any);
  ASSERT_TRUE(answer.value && answer.value->record) << answer.error;
  EXPECT_EQ(answer.value->record->exit_code, 4);
  EXPECT_EQ(engine.memory.blob(answer.value->record->stdout_log), "text out\n");
  EXPECT_EQ(engine.memory.blob(answer.value->record->stderr_log), "text err\n");
  EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/report"}, any)), "text");
}

TEST(Failure, SaysInItsErrorWhatItPrintedAndLeavesNothing) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, engine.exec(a, {"fail", "4", "/report", "text"}, engine.scratch(a)));
  ASSERT_TRUE(answer.value && answer.value->failure) << answer.error;
  EXPECT_EQ(answer.value->failure->exit_code, 4);
  EXPECT_EQ(answer.value->failure->out, "text out");
  EXPECT_EQ(answer.value->failure->err, "text err");
  EXPECT_EQ(engine.memory.usage().layers, 0U);
  EXPECT_EQ(engine.memory.leased(), 0U);
  EXPECT_EQ(engine.memory.all_that_rests().find("text"), std::string::npos);
}

TEST(Failure, OfACommandThatIsNotThereNamesIt) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, engine.exec(a, {"nonsense"}, engine.scratch(a)));
  EXPECT_EQ(answer.code, Code::exec_failed);
  EXPECT_NE(answer.error.find("nonsense"), std::string::npos) << answer.error;
  EXPECT_NE(answer.error.find("not found in $PATH"), std::string::npos) << answer.error;
}

TEST(Failure, OfAnUnknownOpOrOutputIsAnError) {
  Engine engine;
  auto& a = engine.client("a");
  EXPECT_EQ(engine.get(a, {Digest::of("nobody put this"), ""}).code, Code::not_found);
  auto exec = engine.exec(a, {"true"}, engine.scratch(a));
  exec.output = "mount:/nowhere";
  EXPECT_EQ(engine.get(a, exec).code, Code::not_found) << "also when the op has to run first";
  EXPECT_EQ(engine.get(a, exec).code, Code::not_found) << "and when it has run";
}

TEST(Failure, OfATreeOpIsTheErrorOfTheOp) {
  Engine engine;
  auto& a = engine.client("a");
  const auto missing = engine.add(a, {{dag::Subpath{"/nowhere"}, {engine.write(a, engine.scratch(a), "/f", "x")}}});
  const auto answer = engine.get(a, engine.exec(a, {"true"}, missing));
  EXPECT_EQ(answer.code, Code::not_found);
  EXPECT_EQ(engine.executor.started(), 0U);
  EXPECT_EQ(engine.get(a, engine.add(a, {{dag::Local{Digest::of("tree")}, {}}})).code, Code::not_found);
}

// ---- outputs and volumes ----

TEST(Mounts, NeverCoverTheFileSystemsThatEveryContainerHas) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, engine.exec(a, {"true"}, engine.scratch(a), [](dag::Op&, dag::Exec& e) {
    e.mounts.push_back({dag::MountType::tmpfs, "/proc/sys"});
  }));
  EXPECT_EQ(answer.code, Code::invalid_argument);
  EXPECT_NE(answer.error.find("nothing can be mounted on \"/proc/sys\""), std::string::npos) << answer.error;
  EXPECT_EQ(engine.executor.started(), 0U);
}

TEST(Outputs, OfWritableMountsAreSeenByTheStepsAfterIt) {
  Engine engine;
  auto& a = engine.client("a");
  const auto source = engine.write(a, engine.scratch(a), "/old", "old");
  const auto mount = [](dag::Ref tree) {
    return [tree](dag::Op& op, dag::Exec& e) {
      op.inputs.push_back(tree);
      e.mounts.push_back({dag::MountType::tree, "/src", 1});
    };
  };
  const auto writes = engine.exec(a, {"write", "/src/new", "new"}, engine.scratch(a), mount(source));
  const dag::Ref changed{writes.op, "mount:/src"};
  EXPECT_EQ(engine.out(a, engine.exec(a, {"cat", "/src/old", "/src/new"}, writes, mount(changed))), "oldnew");
  EXPECT_EQ(engine.get(a, changed).value->stack.size(), 2U);
  EXPECT_TRUE(engine.get(a, writes).value->stack.empty()) << "the root did not change";
}

TEST(Outputs, AreKeptUnderALeaseWhileAnOpUsesThem) {
  Engine engine;
  auto& a = engine.client("a");
  auto wanted = engine.want(a, engine.exec(a, {"wait", "gate"}, engine.write(a, engine.scratch(a), "/f", "x")));
  engine.executor.wait_until_started("wait gate");
  EXPECT_EQ(engine.memory.leased(), 1U);
  engine.executor.open("gate");
  ASSERT_TRUE(wanted.get().value);
  engine.thread.settle();
  EXPECT_EQ(engine.memory.leased(), 0U);
}

const auto with_volume = [](dag::Sharing sharing) {
  return [sharing](dag::Op&, dag::Exec& e) {
    e.mounts.push_back({dag::MountType::cache, "/cache", -1, "", false, "npm", sharing});
  };
};

TEST(Volumes, ThatAreLockedLetOneExecInAtATime) {
  Engine engine;
  auto& a = engine.client("a");
  std::vector<dag::Ref> execs;
  for (const char* name : {"1", "2", "3", "4"})
    execs.push_back(engine.exec(a, {"append", "/cache", name}, engine.scratch(a), with_volume(dag::Sharing::locked)));
  const auto holder = engine.exec(a, {"wait", "gate"}, engine.scratch(a), with_volume(dag::Sharing::locked));
  auto first = engine.want(a, holder);
  engine.executor.wait_until_started("wait gate");
  std::vector<testing::Wanted> others;
  for (const auto& e : execs) others.push_back(engine.want(a, e));
  EXPECT_EQ(engine.executor.started(), 1U);
  engine.executor.open("gate");
  for (auto& w : others) ASSERT_TRUE(w.get().value);
  ASSERT_TRUE(first.get().value);
  EXPECT_EQ(engine.executor.most_at_once(), 1U);
}

TEST(Volumes, ThatAreSharedDoNotWait) {
  Engine engine;
  auto& a = engine.client("a");
  auto one = engine.want(a, engine.exec(a, {"wait", "1"}, engine.scratch(a), with_volume(dag::Sharing::shared)));
  auto two = engine.want(a, engine.exec(a, {"wait", "2"}, engine.scratch(a), with_volume(dag::Sharing::shared)));
  engine.executor.wait_until_started("wait 1");
  engine.executor.wait_until_started("wait 2");
  engine.executor.open("1");
  engine.executor.open("2");
  EXPECT_TRUE(one.get().value && two.get().value);
}

TEST(Volumes, GetOneLineFromAnExecThatTwoSessionsWant) {
  Engine engine;
  auto &a = engine.client("a"), &b = engine.client("b");
  const auto append = [&](FakeClient& c) {
    return engine.exec(c, {"append", "/cache", "line"}, engine.scratch(c), with_volume(dag::Sharing::shared));
  };
  auto first = engine.want(a, append(a)), second = engine.want(b, append(b));
  ASSERT_TRUE(first.get().value && second.get().value);
  const auto all = engine.memory.all_that_rests();
  EXPECT_EQ(all.find("line\n"), all.rfind("line\n"));
  EXPECT_NE(all.find("line\n"), std::string::npos);
}

TEST(Volumes, OfTwoScopesAreTwo) {
  Engine engine;
  auto &a = engine.client("a", "uid:1"), &b = engine.client("b", "uid:2");
  for (auto* c : {&a, &b})
    ASSERT_TRUE(engine
                    .get(*c, engine.exec(*c, {"append", "/cache", "line"}, engine.scratch(*c),
                                         with_volume(dag::Sharing::shared)))
                    .value);
  EXPECT_EQ(engine.executor.started(), 2U);
  const auto all = engine.memory.all_that_rests();
  EXPECT_EQ(all.find("line\nline\n"), std::string::npos);
}

// ---- secrets ----

const auto with_secret = [](dag::Op&, dag::Exec& e) {
  e.secret_env = {{"TOKEN", "token"}};
  e.mounts.push_back({dag::MountType::secret, "/run/token", -1, "", true, "token"});
};

TEST(Secrets, ReachTheProcessAndNothingElse) {
  Engine engine;
  auto& a = engine.client("a");
  a.secrets = {{"token", "h8sh-h8sh"}};
  for (const auto& args : {Lines{"env", "TOKEN"}, Lines{"secret", "/run/token"}}) {
    const auto answer = engine.get(a, engine.exec(a, args, engine.scratch(a), with_secret));
    ASSERT_TRUE(answer.value && answer.value->record) << answer.error;
    EXPECT_TRUE(engine.memory.blob(answer.value->record->stdout_log).starts_with("***"));
  }
  EXPECT_EQ(a.log(), "***\n***");
  EXPECT_EQ(engine.memory.all_that_rests().find("h8sh"), std::string::npos);
  for (const auto& e : a.events())
    for (const auto& text : {e.name, e.text, e.reason}) EXPECT_EQ(text.find("h8sh"), std::string::npos);
}

TEST(Secrets, AreHiddenInWhatAFailedExecSays) {
  Engine engine;
  auto& a = engine.client("a");
  a.secrets = {{"token", "h8sh"}};
  const auto answer = engine.get(a, engine.exec(a, {"env", "TOKEN"}, engine.scratch(a), [](dag::Op& op, dag::Exec& e) {
    with_secret(op, e);
    e.expect = dag::Expect::failure;
  }));
  ASSERT_TRUE(answer.value && answer.value->failure) << answer.error;
  EXPECT_EQ(answer.value->failure->out, "***");
}

TEST(Secrets, AreNoPartOfAKeyButTheScopeIs) {
  Engine engine;
  const auto run = [&](const std::string& name, const std::string& scope, const std::string& value) {
    auto& c = engine.client(name, scope);
    c.secrets = {{"token", value}};
    EXPECT_TRUE(engine.get(c, engine.exec(c, {"true"}, engine.scratch(c), with_secret)).value);
    return engine.executor.started();
  };
  EXPECT_EQ(run("a", "uid:1", "one"), 1U);
  EXPECT_EQ(run("b", "uid:1", "two"), 1U) << "another value, the same key";
  EXPECT_EQ(run("c", "uid:2", "one"), 2U) << "another tenant never gets this result";
}

TEST(Secrets, ThatNobodyKnowsAreAnError) {
  Engine engine;
  auto& a = engine.client("a");
  const auto answer = engine.get(a, engine.exec(a, {"true"}, engine.scratch(a), with_secret));
  EXPECT_EQ(answer.code, Code::not_found);
  EXPECT_EQ(engine.executor.started(), 0U);
}

}  // namespace
}  // namespace dagger::solver
