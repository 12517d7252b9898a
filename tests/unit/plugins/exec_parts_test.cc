// The pure parts of plugins/common/oci-runtime.
#include <gtest/gtest.h>

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

TEST(Seccomp, LetsNamespacesBeMadeOnlyWithTheCapability) {
  const auto text = default_seccomp({}).dump();
  EXPECT_EQ(text.find("\"unshare\""), std::string::npos);
  EXPECT_NE(text.find("\"clone3\""), std::string::npos);
  EXPECT_NE(default_seccomp({"CAP_SYS_ADMIN"}).dump().find("\"unshare\""), std::string::npos);
}

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
