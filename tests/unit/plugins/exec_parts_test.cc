// The pure parts of plugins/common/oci-runtime.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "plugins/common/oci-runtime/cgroups.h"
#include "plugins/common/oci-runtime/running.h"
#include "plugins/common/oci-runtime/seccomp.h"
#include "plugins/common/oci-runtime/spec.h"
#include "plugins/common/oci-runtime/users.h"

namespace dagger::oci {
namespace {

constexpr const char* passwd =
    "# "
    "comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\nbad:x:one:2::/:\n1000:x:7:8::/odd:\nuser:x:1000:1001::/home/user:/"
    "bin/sh\n";
constexpr const char* group = "root:x:0:root\nwheel:x:10:user,root\nusers:x:100:other,user\nnobodies:x:99:\n";

TEST(User, IsRootWhenNobodyIsNamed) {
  const auto u = resolve_user(passwd, group, "");
  EXPECT_EQ(u.uid, 0U);
  EXPECT_EQ(u.home, "/root");
  EXPECT_EQ(u.groups, (std::vector<std::uint32_t>{0, 10}));
}

TEST(User, HasTheGroupsThatListIt) {
  const auto u = resolve_user(passwd, group, "user");
  EXPECT_EQ(u.uid, 1000U);
  EXPECT_EQ(u.gid, 1001U);
  EXPECT_EQ(u.groups, (std::vector<std::uint32_t>{1001, 10, 100}));
}

TEST(User, HasOnlyTheGroupThatIsNamed) {
  EXPECT_EQ(resolve_user(passwd, group, "user:wheel").groups, std::vector<std::uint32_t>{10});
  EXPECT_EQ(resolve_user(passwd, group, "user:55").gid, 55U);
}

TEST(User, PrefersANameThatLooksLikeANumber) { EXPECT_EQ(resolve_user(passwd, group, "1000").uid, 7U); }

TEST(User, MayBeANumberWithoutAnEntry) {
  const auto u = resolve_user("", "", "4321");
  EXPECT_EQ(u.uid, 4321U);
  EXPECT_EQ(u.gid, 0U);
  EXPECT_EQ(u.home, "/");
}

TEST(User, IsRefusedWhenUnknown) {
  for (const char* spec : {"nobody", "user:nogroup", "-1", "99999999999", "bad"})
    EXPECT_THROW(resolve_user(passwd, group, spec), Error) << spec;
}

TEST(Cgroups, SeesAHybridMachineAsV1) {
  const auto c = parse_cgroups(
      "30 20 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
      "31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "32 20 0:28 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n",
      "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/c\n");
  EXPECT_EQ(c.layout, CgroupLayout::v1);
  EXPECT_EQ(c.unified, "/sys/fs/cgroup/unified");
  ASSERT_EQ(c.hierarchies.size(), 2U);
  EXPECT_EQ(c.hierarchies[0].own, "/sys/fs/cgroup/memory/a/b");
  EXPECT_EQ(c.hierarchies[1].own, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_TRUE(c.hierarchies[1].has("cpuacct"));
}

TEST(Cgroups, SeesItsOwnGroupFromWithinAContainer) {
  const auto c = parse_cgroups("32 20 0:28 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/docker/1/init\n");
  EXPECT_EQ(c.layout, CgroupLayout::v2);
  EXPECT_EQ(c.hierarchies.at(0).own, "/sys/fs/cgroup/init");
}

TEST(Cgroups, AreNoneWhereNoneIsMounted) {
  EXPECT_EQ(parse_cgroups("1 2 0:1 / / rw - ext4 /dev/vda rw\nnonsense\n", "0::/\n").layout, CgroupLayout::none);
}

TEST(RuntimeError, IsTheLastMessageOfTheLog) {
  EXPECT_EQ(runtime_error("{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"boom\"}\n"), "boom");
  EXPECT_EQ(runtime_error("plain"), "plain");
  EXPECT_FALSE(runtime_error("").empty());
}

TEST(StartError, IsWordedAlikeForAllRuntimes) {
  const std::string runc = "runc run failed: unable to start container process: exec: ";
  const std::string missing = "exec: \"foo\": executable file not found in $PATH";
  EXPECT_EQ(start_error("foo", "executable file `foo` not found in $PATH: No such file or directory"), missing);
  EXPECT_EQ(start_error("foo", runc + "\"foo\": executable file not found in $PATH"), missing);
  EXPECT_EQ(start_error("./foo", "executable file `./foo` not found in $PATH: No such file or directory"),
            "exec: \"./foo\": no such file or directory");
  const std::string denied = "exec: \"/etc/passwd\": permission denied";
  EXPECT_EQ(start_error("/etc/passwd", "open executable: Permission denied"), denied);
  EXPECT_EQ(start_error("/etc/passwd", runc + "\"/etc/passwd\": permission denied"), denied);
  EXPECT_EQ(start_error("/etc", "open executable: Operation not permitted"), "exec: \"/etc\": not an executable file");
  EXPECT_EQ(start_error("true", "chdir `/x`: Not a directory"), "chdir `/x`: Not a directory");
}

TEST(Seccomp, LetsNamespacesBeMadeOnlyWithTheCapability) {
  const auto text = seccomp_json(default_seccomp({})).dump();
  EXPECT_EQ(text.find("\"unshare\""), std::string::npos);
  EXPECT_NE(text.find("\"clone3\""), std::string::npos);
  EXPECT_NE(seccomp_json(default_seccomp({"CAP_SYS_ADMIN"})).dump().find("\"unshare\""), std::string::npos);
}

// What the kernel would make of a compiled filter.
std::uint32_t run_filter(const std::string& program, const seccomp_data& data) {
  std::vector<sock_filter> code(program.size() / sizeof(sock_filter));
  std::memcpy(code.data(), program.data(), program.size());
  std::uint32_t a = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const auto& i = code[at];
    const auto jump = [&](bool taken) { at += taken ? i.jt : i.jf; };
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        at += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(a == i.k);
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        jump(a > i.k);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(a >= i.k);
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        ADD_FAILURE() << "unexpected instruction " << i.code;
        return 0;
    }
  }
  ADD_FAILURE() << "no verdict";
  return 0;
}

#if defined(__x86_64__)
TEST(Seccomp, ProgramDecidesAsTheRulesSay) {
  constexpr std::uint32_t here = AUDIT_ARCH_X86_64, x86 = AUDIT_ARCH_I386;
  constexpr std::uint32_t allowed = SECCOMP_RET_ALLOW, refused = SECCOMP_RET_ERRNO | EPERM,
                          unknown = SECCOMP_RET_ERRNO | ENOSYS;
  const auto program = seccomp_program(default_seccomp({}));
  ASSERT_LE(program.size(), sizeof(sock_filter) * BPF_MAXINSNS);
  const auto verdict = [&](std::uint32_t architecture, int call, std::uint64_t first = 0) {
    return run_filter(program, {call, architecture, 0, {first, 0, 0, 0, 0, 0}});
  };
  for (const int call : {SYS_read, SYS_openat, SYS_clone, SYS_futex, SYS_mknodat})
    EXPECT_EQ(verdict(here, call), allowed) << call;
  for (const int call : {SYS_add_key, SYS_keyctl, SYS_mount, SYS_unshare, SYS_bpf, SYS_io_uring_setup, SYS_chroot})
    EXPECT_EQ(verdict(here, call), refused) << call;
  EXPECT_EQ(verdict(here, SYS_clone, CLONE_NEWUSER), refused);
  EXPECT_EQ(verdict(here, SYS_socket, AF_VSOCK), refused);
  EXPECT_EQ(verdict(here, SYS_socket, AF_UNIX), allowed);
  EXPECT_EQ(verdict(here, SYS_personality, 0x20000), allowed);
  EXPECT_EQ(verdict(here, SYS_personality, 0x40000), refused);
  EXPECT_EQ(verdict(here, SYS_clone3), unknown);
  EXPECT_EQ(verdict(here, 999), unknown);
  EXPECT_EQ(verdict(here, 0x40000000 | SYS_read), unknown);  // x32
  EXPECT_EQ(verdict(x86, 3), allowed);                       // read
  EXPECT_EQ(verdict(x86, 286), refused);                     // add_key
  EXPECT_EQ(verdict(x86, 435), unknown);                     // clone3
  EXPECT_EQ(verdict(x86, 999), unknown);
  EXPECT_EQ(verdict(AUDIT_ARCH_AARCH64, 63), unknown);
  EXPECT_EQ(run_filter(seccomp_program(default_seccomp({"CAP_SYS_CHROOT"})), {SYS_chroot, here, 0, {0, 0, 0, 0, 0, 0}}),
            allowed);
}
#endif

TEST(Spec, RefusesTextThatIsNotUtf8) {
  plugin::ExecRequest request;
  request.args = {"\xff\xfe"};
  EXPECT_THROW(make_spec(request, {}), Error);
}

TEST(Spec, AddsOnlyWhatTheEnvironmentLacks) {
  plugin::ExecRequest request;
  request.args = {"true"};
  request.env = {{"PATH", "/x"}};
  const auto spec = nlohmann::json::parse(make_spec(request, {}));
  EXPECT_EQ(spec["process"]["env"], (nlohmann::json{"PATH=/x", "HOME=/"}));
}

}  // namespace
}  // namespace dagger::oci
