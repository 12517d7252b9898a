#include "core/dag/mount_target.h"

#include <gtest/gtest.h>

#include "dagger/plugin/error.h"

namespace dagger::dag {
namespace {

TEST(MountTarget, IsRefusedWhereTheContainersOwnFileSystemsAre) {
  for (const char* target :
       {"/proc", "/proc/sys", "/proc/self/attr", "/proc/kcore", "/proc/stat/x", "/sys", "/sys/fs", "/sys/kernel",
        "/sys/firmware", "/dev", "/dev/null", "/dev/pts", "/dev/pts/0", "/dev/fd/1", "/dev/stdout"}) {
    try {
      check_mount_target(target);
      ADD_FAILURE() << target;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::invalid_argument);
      EXPECT_NE(error.message().find("nothing can be mounted on \"" + std::string(target) + "\""), std::string::npos);
    }
  }
}

TEST(MountTarget, IsFreeEverywhereElse) {
  for (const char* target :
       {"/mnt", "/process", "/procs/x", "/system", "/devel", "/a/proc", "/a/dev/null", "/proc/stat", "/proc/meminfo",
        "/sys/fs/cgroup", "/sys/fs/bpf", "/dev/shm", "/dev/shm/x", "/dev/log", "/dev/nullified", "/dev/mqueue"})
    EXPECT_NO_THROW(check_mount_target(target)) << target;
}

}  // namespace
}  // namespace dagger::dag
