#include "core/runner/doctor/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace dagger::runner {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::uint64_t gib = 1 << 30;

HostFacts::Plugin plugin(const char* kind, const char* name, const char* problem = "") {
  HostFacts::Plugin p;
  p.kind = kind, p.name = name, p.text = "dagger.toml:3:1", p.problem = problem;
  p.taken = p.problem.empty();
  return p;
}

HostFacts healthy() {
  HostFacts f;
  f.kernel = "6.8.0-45-generic";
  f.file_systems = {"ext4", "overlay", "fuse"};
  f.fuse_device = true;
  f.cgroup2 = true;
  f.controllers = {"cpu", "memory", "pids"};
  f.runtimes = {{"crun", "/usr/bin/crun", "crun version 1.8.1"}, {"runc", "", ""}};
  f.other_engines = {{"docker", "", ""}};
  f.state = {"/var/lib/dagger", true, true, 0, 0700, 1, std::nullopt, "ext4", 50 * gib, 100 * gib, 1000, 1000};
  f.plugins = {plugin("snapshotter", "overlay"), plugin("executor", "crun")};
  return f;
}

std::vector<std::string> lines(const HostFacts& facts, Finding::Level least = Finding::ok) {
  std::vector<std::string> all;
  for (const auto& finding : diagnose(facts))
    if (finding.level >= least) all.push_back(finding.line());
  return all;
}

// What is not fine after one thing of a healthy machine was changed.
std::vector<std::string> after(const std::function<void(HostFacts&)>& change) {
  auto facts = healthy();
  change(facts);
  return lines(facts, Finding::warn);
}

TEST(Doctor, FindsNothingWrongWithAHealthyMachine) {
  EXPECT_THAT(lines(healthy(), Finding::warn), testing::IsEmpty());
  EXPECT_THAT(lines(healthy()), Contains("ok    kernel: Linux 6.8.0-45-generic"));
  EXPECT_THAT(lines(healthy()), Contains("ok    runc: is not installed; it is not needed"));
  EXPECT_THAT(lines(healthy()), Contains("ok    disk: 50.0 GiB of 100.0 GiB free for /var/lib/dagger"));
}

TEST(Doctor, HasARemedyForEverythingThatIsNotFine) {
  auto f = healthy();
  f.uid = 1000;
  f.kernel = "4.19.0";
  f.file_systems.clear();
  f.missing_namespaces = {"pid"};
  f.cgroup2 = false;
  f.plugins = {plugin("snapshotter", "overlay", "no overlay"), plugin("executor", "runc", "no runc")};
  f.state.free_bytes = 1;
  f.state.free_files = 1;
  f.registries = {{"r", "r:443", "refused"}};
  f.config_problems = {"dagger.toml:1:1: wrong"};
  unsigned bad = 0;
  for (const auto& finding : diagnose(f)) {
    EXPECT_EQ(finding.remedy.empty(), finding.level == Finding::ok) << finding.line();
    bad += finding.level == Finding::ok ? 0 : 1;
  }
  EXPECT_GE(bad, 10U);
}

TEST(Doctor, NeedsRootUnlessClientsUseAnotherRunner) {
  const auto no_root = [](HostFacts& f) { f.uid = 1000, f.state.owner = 1000; };
  EXPECT_THAT(after(no_root), testing::ElementsAre(StartsWith("fail  user: uid 1000")));
  const auto remote = [&](HostFacts& f) { no_root(f), f.runner = Reach{"", "tcp://h:1", ""}; };
  EXPECT_THAT(after(remote), testing::ElementsAre(StartsWith("warn  user: uid 1000")));
  const auto gone = [](HostFacts& f) { f.runner = Reach{"", "tcp://h:1", "Connection refused"}; };
  EXPECT_THAT(after(gone), testing::ElementsAre(StartsWith("fail  runner: clients are sent to tcp://h:1: Connection")));
}

TEST(Doctor, KnowsWhatAKernelMustHave) {
  EXPECT_THAT(after([](HostFacts& f) { f.kernel = "5.2.21"; }),
              testing::ElementsAre(HasSubstr("fail  kernel: Linux 5.2.21 is too old")));
  EXPECT_THAT(after([](HostFacts& f) { f.file_systems = {"fuse"}; }),
              testing::ElementsAre("warn  overlay: the kernel knows no file system overlay; run: modprobe overlay"));
  EXPECT_THAT(after([](HostFacts& f) { f.fuse_device = false; }), testing::IsEmpty());
  EXPECT_THAT(after([](HostFacts& f) { f.fuse_device = false, f.plugins[0] = plugin("snapshotter", "fuse"); }),
              testing::ElementsAre(HasSubstr("warn  fuse: /dev/fuse cannot be opened")));
  EXPECT_THAT(after([](HostFacts& f) { f.missing_namespaces = {"net", "user"}; }),
              testing::ElementsAre(StartsWith("fail  namespaces: the kernel has none of: net, user")));
  EXPECT_THAT(after([](HostFacts& f) { f.missing_namespaces = {"user"}; }), testing::IsEmpty());
  EXPECT_THAT(after([](HostFacts& f) { f.cgroup2 = false; }),
              testing::ElementsAre(StartsWith("warn  cgroups: none are mounted")));
  EXPECT_THAT(after([](HostFacts& f) { f.controllers = {"cpu", "memory"}; }),
              testing::ElementsAre(HasSubstr("no controller pids")));
}

TEST(Doctor, SaysWhyAnEarlierChoiceIsPassedOver) {
  const auto two = [](HostFacts& f, const char* second) {
    f.plugins = {plugin("executor", "crun", "no program crun"), plugin("executor", "runc", second)};
    f.plugins[0].of = f.plugins[1].of = 2;
  };
  EXPECT_THAT(
      after([&](HostFacts& f) { two(f, ""); }),
      testing::ElementsAre(StartsWith("warn  executor crun: does not work here, and is passed over: no program")));
  EXPECT_THAT(after([&](HostFacts& f) { two(f, "no cgroups"); }),
              testing::ElementsAre(StartsWith("warn  runc: is not installed; run: apt-get install runc"),
                                   StartsWith("fail  executor crun: does not work here: no program crun"),
                                   StartsWith("fail  executor runc: does not work here: no cgroups")));
}

TEST(Doctor, LooksAtTheStateDirectory) {
  EXPECT_THAT(after([](HostFacts& f) { f.state.writable = false; }),
              testing::ElementsAre(StartsWith("fail  state directory: /var/lib/dagger cannot be written")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.owner = 1000; }),
              testing::ElementsAre(HasSubstr("belongs to uid 1000")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.format = 99; }), testing::ElementsAre(HasSubstr("by a newer version")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.mode = 0777; }), testing::ElementsAre(HasSubstr("run: chmod go-w")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.file_system = "overlay"; }),
              testing::ElementsAre(HasSubstr("that overlays cannot be written to")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.free_bytes = gib; }),
              testing::ElementsAre(StartsWith("warn  disk: 1.0 GiB")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.free_bytes = 1; }),
              testing::ElementsAre(StartsWith("fail  disk: 0 MiB")));
  EXPECT_THAT(after([](HostFacts& f) { f.state.free_files = 1; }), testing::ElementsAre(HasSubstr("inodes")));
  auto used = healthy();
  used.state.lock_owner = 4711;
  EXPECT_THAT(lines(used), Contains("ok    runner: process 4711 uses the state directory"));
}

TEST(Doctor, TakesARegistryThatIsAwayForNoReasonNotToRun) {
  EXPECT_THAT(after([](HostFacts& f) { f.registries = {{"lab", "lab:443", "no answer within 5 s"}}; }),
              testing::ElementsAre(StartsWith("warn  registry lab: lab:443: no answer within 5 s; check")));
}

}  // namespace
}  // namespace dagger::runner
