// tests/unit/dag/sample_ops.h — one op of every kind with all its fields set, and the ways an exec can differ.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/dag/op.h"

namespace dagger::dag::testing {

inline Ref ref(std::string_view name, std::string output = "") { return {Digest::of(name), std::move(output)}; }

inline Exec full_exec() {
  Exec e;
  e.args = {"sh", "-c", "true"};
  e.env = {{"PATH", "/bin"}, {"EMPTY", ""}};
  e.secret_env = {{"TOKEN", "token"}};
  e.cwd = "/work";
  e.user = "1000:1000";
  e.mounts.resize(5);
  e.mounts[0] = {MountType::tree, "/src", 1, "sub", true, "", Sharing::shared, "user", 0, 0};
  e.mounts[1] = {MountType::cache, "/cache", 2, "", false, "npm", Sharing::locked, "1:1", 0, 0};
  e.mounts[2] = {MountType::tmpfs, "/tmp", -1, "", false, "", Sharing::shared, "", 0, 4096};
  e.mounts[3] = {MountType::secret, "/run/secret", -1, "", false, "token", Sharing::shared, "0:0", 0440, 0};
  e.mounts[4] = {MountType::socket, "/run/agent", -1, "", false, "agent", Sharing::shared, "", 0600, 0};
  e.stdin_text = std::string("in\0put", 6);
  e.redirect_stdin = "/in";
  e.redirect_stdout = "/out";
  e.redirect_stderr = "/err";
  e.expect = Expect::any;
  e.root_capabilities = true;
  e.nesting = true;
  e.network_class = "none";
  e.platform = "linux/arm64";
  return e;
}

// Every kind once, in the order of the variant.
inline std::vector<Op> all_kinds() {
  return {
      {Scratch{}, {}},
      {Source{"oci", "alpine:3", "linux/amd64", {{"ref", "main"}}, "sha256:00", "docker.io/library/alpine:3@sha256:00"},
       {}},
      {Local{Digest::of("tree")}, {}},
      {full_exec(), {ref("root"), ref("src"), ref("seed")}},
      {Copy{"/a", "/b", false, {"*.c"}, {"x"}, "0:0", 0755, true}, {ref("base"), ref("from"), ref("names")}},
      {Subpath{"/dir"}, {ref("base")}},
      {Merge{}, {ref("one"), ref("two")}},
      {Diff{}, {ref("one"), ref("two", "root")}},
      {Write{"/file", std::string("\xff\0", 2), "user", 0600}, {ref("base")}},
      {Mkdir{"/dir", "0:0", 0700}, {ref("base")}},
      {Remove{"/dir/*", false}, {ref("base")}},
      {Symlink{"../target", "/link"}, {ref("base")}},
      {Timestamps{-1}, {ref("base")}},
      {Chown{"/dir", "user:group"}, {ref("base"), ref("names")}},
      {Archive{{"{}"}, "oci", "gzip"}, {ref("image")}},
  };
}

// What can be changed in an exec, by the name of the key part it shows in.
inline std::vector<std::pair<std::string, std::function<void(Exec&)>>> exec_changes() {
  return {
      {"command", [](Exec& e) { e.args.back() = "false"; }},
      {"environment variable PATH", [](Exec& e) { e.env[0].second = "/usr/bin"; }},
      {"secret variable TOKEN", [](Exec& e) { e.secret_env[0].second = "other"; }},
      {"working directory", [](Exec& e) { e.cwd = "/"; }},
      {"user", [](Exec& e) { e.user = ""; }},
      {"mount /src", [](Exec& e) { e.mounts[0].read_only = false; }},
      {"mount /src", [](Exec& e) { e.mounts[0].subpath = "other"; }},
      {"mount /cache", [](Exec& e) { e.mounts[1].id = "yarn"; }},
      {"mount /cache", [](Exec& e) { e.mounts[1].sharing = Sharing::shared; }},
      {"mount /run/secret", [](Exec& e) { e.mounts[3].mode = 0400; }},
      {"mount /run/agent", [](Exec& e) { e.mounts[4].id = "other"; }},
      {"standard input", [](Exec& e) { e.stdin_text += "x"; }},
      {"redirections", [](Exec& e) { e.redirect_stderr = ""; }},
      {"capabilities, network or platform", [](Exec& e) { e.root_capabilities = false; }},
      {"capabilities, network or platform", [](Exec& e) { e.nesting = false; }},
      {"capabilities, network or platform", [](Exec& e) { e.expect = Expect::failure; }},
      {"capabilities, network or platform", [](Exec& e) { e.network_class = "host"; }},
      {"capabilities, network or platform", [](Exec& e) { e.platform = "linux/amd64"; }},
  };
}

}  // namespace dagger::dag::testing
