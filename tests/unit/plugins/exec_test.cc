// Execs under both runtimes, with real namespaces; needs root, crun, runc and busybox-static.
#include <sys/xattr.h>

#include "tests/unit/plugins/exec_fixture.h"

namespace dagger {
namespace {

using plugin::ExitKind;
using plugin::MountKind;
using namespace testing;

class Exec : public ::testing::TestWithParam<const char*> {
 protected:
  ExecMachine m{GetParam()};
};

TEST_P(Exec, GivesOutputsAndTheExitCode) {
  const auto r = m.shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(r.out, "out\n");
  EXPECT_EQ(r.err, "err\n");
  EXPECT_EQ(r.status.kind, ExitKind::exited) << r.status.message;
  EXPECT_EQ(r.status.code, 7);
}

TEST_P(Exec, TellsASignalFromAnExitCode) {
  const auto killed = m.shell("sh -c 'exit 137'");
  EXPECT_EQ(killed.status.kind, ExitKind::exited);
  EXPECT_EQ(killed.status.code, 137);
  const auto r = m.run({"sh", "-c", "kill -9 $$"});  // pid 1 of its namespace cannot kill itself
  EXPECT_EQ(r.status.kind, ExitKind::exited);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Runtimes, Exec, ::testing::Values("crun", "runc"),
                         [](const auto& info) { return info.param; });

}  // namespace dagger
