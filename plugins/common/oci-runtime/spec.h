// plugins/common/oci-runtime/spec.h — the OCI configuration (config.json) of one exec. Pure.
#pragma once
#include <string>
#include <vector>

#include "dagger/plugin/executor.h"
#include "plugins/common/oci-runtime/users.h"

namespace dagger::oci {

struct SpecMount {
  std::string target;
  std::string source;  // a path in the helper's mount namespace; "": a new tmpfs
  bool read_only = false;
  std::uint64_t size_bytes = 0;  // tmpfs; 0: the kernel's default
};

struct ResourceLimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
};

struct SpecInput {
  std::string root_path;
  User user;
  std::vector<SpecMount> mounts;          // beside /proc and its like, parents first
  bool no_devices = false;                // device nodes of the root and the mounts cannot be opened
  std::vector<std::string> capabilities;  // what the process has ("CAP_CHOWN")
  std::string filter_program;             // base64 of seccomp_program(); "": the runtime compiles the rules
  std::vector<ResourceLimit> limits;
  bool cgroup_mount = false;  // /sys/fs/cgroup inside
  std::string cgroups_path;   // "": none of the runtime's making
};

// request.mounts is not read: input.mounts says where each of them is. Throws invalid_argument.
std::string make_spec(const plugin::ExecRequest& request, const SpecInput& input);

// The resource limits of an exec are those of other engines, whatever the shell had that the runner was started from.
// No core files, which would get into layers. may_raise: this process may exceed its own hard limits.
inline constexpr std::uint64_t usual_stack = 8 << 20;
std::vector<ResourceLimit> usual_limits(bool may_raise, std::uint64_t most_open_files);

// Every capability this process may give away, lowest number first.
std::vector<std::string> bounding_capabilities();
// Those that a container has when it asks for no more, out of available.
std::vector<std::string> default_capabilities(const std::vector<std::string>& available);

}  // namespace dagger::oci
