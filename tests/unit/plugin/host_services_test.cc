// What plugins get from the host.
#include "core/plugin/host_services.h"

#include <gtest/gtest.h>

#include "core/base/fs.h"

namespace dagger::plugin {
namespace {

class Services : public ::testing::Test {
 protected:
  HostServices of(const std::string& state_dir) {
    return {state_dir, "/usr", [this](LogLevel, std::string_view line) { log += line; }, spawner};
  }
  TempDir dir;
  Spawner spawner;
  std::string log;
};

TEST_F(Services, MakeTheStateDirectoryWhenItIsAskedFor) {
  const auto path = dir.path() + "/a/b";
  const auto host = of(path);
  EXPECT_FALSE(exists(dir.path() + "/a"));
  EXPECT_EQ(host.state_dir(), path);
  EXPECT_TRUE(exists(path));
  EXPECT_EQ(log, "");
}

TEST_F(Services, LogAStateDirectoryThatCannotBeMade) {
  write_file_atomically(dir.path() + "/file", "");
  const auto path = dir.path() + "/file/b";
  EXPECT_EQ(of(path).state_dir(), path);
  EXPECT_NE(log.find(path), std::string::npos) << log;
}

}  // namespace
}  // namespace dagger::plugin
