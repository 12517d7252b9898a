#include <gtest/gtest.h>

#include "dagger/plugin/error.h"
#include "plugins/common/oci-registry/reference.h"

namespace dagger::oci {
namespace {

const std::string hex64(64, 'a');
const std::string sha = "sha256:" + hex64;

std::string parsed(const std::string& text) {
  try {
    return parse_reference(text).str();
  } catch (const Error& e) {
    return std::string(code_name(e.code()));
  }
}

TEST(Reference, IsNormalisedAsDockerDoes) {
  const std::pair<std::string, std::string> cases[] = {
      {"alpine", "docker.io/library/alpine:latest"},
      {"alpine:3.18", "docker.io/library/alpine:3.18"},
      {"library/alpine", "docker.io/library/alpine:latest"},
      {"docker.io/alpine", "docker.io/library/alpine:latest"},
      {"docker.io/library/alpine:3", "docker.io/library/alpine:3"},
      {"index.docker.io/library/alpine", "docker.io/library/alpine:latest"},
      {"registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest"},
      {"index.docker.io/alpine:3", "docker.io/library/alpine:3"},
      {"grafana/grafana:10.0.0", "docker.io/grafana/grafana:10.0.0"},
      {"a/b/c", "docker.io/a/b/c:latest"},
      {"alpine@" + sha, "docker.io/library/alpine@" + sha},
      {"alpine:3@" + sha, "docker.io/library/alpine:3@" + sha},
      {"quay.io/a/b:v1.2.3-rc.1", "quay.io/a/b:v1.2.3-rc.1"},
      {"quay.io/a", "quay.io/a:latest"},
      {"gcr.io/p/i@" + sha, "gcr.io/p/i@" + sha},
      {"localhost/x", "localhost/x:latest"},
      {"localhost:5000/x", "localhost:5000/x:latest"},
      {"localhost:5000/x:1", "localhost:5000/x:1"},
      {"127.0.0.1:5000/x/y:1@" + sha, "127.0.0.1:5000/x/y:1@" + sha},
      {"[::1]:5000/x", "[::1]:5000/x:latest"},
      {"[2001:db8::1]/x:1", "[2001:db8::1]/x:1"},
      {"Upper.example.com/x", "Upper.example.com/x:latest"},
      {"UPPER/x", "UPPER/x:latest"},
      {"registry/x", "docker.io/registry/x:latest"},
      {"alpine:3/x", "alpine:3/x:latest"},
      {"a.b/c.d/e_f/g__h/i-j/k--l", "a.b/c.d/e_f/g__h/i-j/k--l:latest"},
      {"x:_tag", "docker.io/library/x:_tag"},
      {"x:A.b-c_D", "docker.io/library/x:A.b-c_D"},
      {"x:" + std::string(128, 't'), "docker.io/library/x:" + std::string(128, 't')},
      {"0", "docker.io/library/0:latest"},
      {"x@sha512:" + std::string(128, 'b'), "docker.io/library/x@sha512:" + std::string(128, 'b')},
      {"xn--nxasmq6b.example/x", "xn--nxasmq6b.example/x:latest"},
      {hex64.substr(1), "docker.io/library/" + hex64.substr(1) + ":latest"},
      {"h.io/" + std::string(255, 'r'), "h.io/" + std::string(255, 'r') + ":latest"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(parsed(text), want) << text;
}

TEST(Reference, IsRefusedWhereDockerRefusesIt) {
  const std::string cases[] = {
      "",
      " ",
      "Alpine",
      "alpine:",
      "alpine@",
      "alpine@sha256:abc",
      ":tag",
      "@" + sha,
      "/alpine",
      "alpine/",
      "a//b",
      "a/B",
      "-a",
      "a-",
      "_a",
      "a_",
      "a___b",
      "a..b",
      "a._b",
      "a b",
      "alpine:a b",
      "alpine:.tag",
      "alpine:-tag",
      "alpine:tag/",
      "x:1:2",
      "x@y@z",
      hex64,
      "http://x/y",
      "docker://alpine",
      "-h.io/x",
      "h-.io/x",
      "h..io/x",
      "h.io:/x",
      "h.io:http/x",
      "h.io:123456/x",
      "[::1/x",
      "[nope]/x",
      "h.io/",
      "x\n",
      "x:\xc3\xa9",
      "../x",
      "a/../b",
      "x?y",
      "x%41",
      "x@md5:" + std::string(32, 'a'),
      "x@sha256:" + std::string(64, 'A'),
      "x:" + std::string(129, 't'),
      "h.io/" + std::string(256, 'r'),
      std::string(5000, 'x'),
  };
  for (const auto& text : cases) EXPECT_EQ(parsed(text), "invalid_argument") << text;
}

TEST(Reference, ErrorNamesWhatWasWrittenAndWhatToWrite) {
  try {
    parse_reference("Alpine:3");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "invalid image reference \"Alpine:3\": repository name must be lowercase");
  }
  try {
    parse_reference("a b\x01");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("\"a b?\": invalid reference format"), std::string::npos) << e.what();
  }
}

TEST(Reference, KnowsLoopbackHosts) {
  for (const char* host : {"localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:5000"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"128.0.0.1", "localhost.example", "127.0.0.1.example", "127.example:1", "[::2]", ""})
    EXPECT_FALSE(is_loopback(host)) << host;
}

}  // namespace
}  // namespace dagger::oci
