// plugins/common/oci-runtime/executor.h — a local executor over the command line of any OCI runtime (crun, runc, ...).
//
// Each exec is a fork of a small helper (dagger-exec-helper) that is pid 1 of a pid namespace and has a mount namespace
// and a tmpfs of its own. In there are the bundle, the secrets and the runtime's state, so that nothing of an exec is
// on a disk, and the helper's end (also by the engine's death) takes processes and mounts along. The engine's side of
// an exec is a pidfd and a pipe, no thread.
//
// What the engine prepares (LocalExec), and what is added here:
//  - Stubs. The runtime makes missing mount points in the writable view, from where they would get into the layer. So
//  the
//    view is opened with a stub for every mount target, and for /proc, /sys, /dev (directories), /etc/hosts,
//    /etc/resolv.conf and /etc/hostname (files); a stub that exists already in the stack costs nothing. A mount target
//    below another tree mount needs its stub in that mount's view.
//  - /etc/hosts is made here of request.hosts, localhost and hostname, /etc/hostname of hostname, both read-only. On
//  the
//    host's network /etc/resolv.conf is the host's, read-only; on others the engine gives the text as a `file` mount. A
//    request that mounts something at one of these paths, or at /etc, gets its own and not ours.
//  - The resource limits are not those of the runner (usual_limits() in spec.h).
//  usual.
//  - env gets PATH and HOME where the request has none. cwd is made by the runtime, root's and 0755, where it is
//  missing;
//    it is part of the output.
//  - stdin ends for the process when the engine closes its end of the pipe. stdout and stderr reach their end when
//    the last process of the container that holds them ends, not later than done_fd().
//  - With no readable answer of the helper (SIGKILL from outside) the status is signaled 9.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dagger/plugin/executor.h"
#include "plugins/common/oci-runtime/cgroups.h"
#include "plugins/common/oci-runtime/spawner.h"
#include "plugins/common/oci-runtime/spec.h"

namespace dagger::oci {

struct Runtime {
  std::string name;                       // "crun"
  std::vector<std::string> global_flags;  // before the runtime's "run"
  bool needs_cgroups = false;             // it makes groups of its own and refuses to run without a hierarchy
  bool takes_filter_program = false;      // by the annotation run.oci.seccomp_bpf_data, instead of compiling the rules
};

// [thread-safe] [blocking]
class OciExecutor : public plugin::Executor, public plugin::LocalExecutor {
 public:
  static constexpr char settings_schema[] =
      R"({"description":"Containers of this machine, by the command line of an OCI runtime",)"
      R"("type":"object","additionalProperties":false,"properties":{"binary":{"type":"string","minLength":1,)"
      R"("description":"The runtime's program: an absolute path, or a name that is looked for in the system's )"
      R"(program folders; by default the plugin's own name"}}})";

  // Throws invalid_argument, unsupported (no such runtime, no privileges).
  OciExecutor(plugin::Host& host, std::string_view config_json, Runtime runtime);
  ~OciExecutor() override;
  std::string_view config_schema() const noexcept override { return settings_schema; }
  void* capability(std::string_view id) noexcept override;
  plugin::ExecutorTraits traits() const override;
  std::unique_ptr<plugin::Running> start(const plugin::ExecRequest& request, const plugin::Stdio& stdio,
                                         plugin::LayerTransfer& transfer, plugin::CallContext& ctx) override;
  std::unique_ptr<plugin::Running> start_local(const plugin::ExecRequest& request, const plugin::LocalExec& local,
                                               const plugin::Stdio& stdio, plugin::CallContext& ctx) override;

 private:
  plugin::Host& host_;
  Runtime runtime_;
  std::string binary_, helper_;
  std::string private_dir_;                          // an empty directory; each helper mounts its tmpfs over it
  std::vector<std::string> capabilities_;            // that this process may give away
  std::vector<std::string> container_capabilities_;  // what an exec without root_capabilities has
  std::vector<ResourceLimit> limits_;
  std::once_flag filter_compiled_;
  std::string filter_program_;  // base64
  Cgroups cgroups_;
  const std::string& filter_program();
  Spawner& spawner(const std::string& cgroup_parent, bool all_devices);
  std::mutex mutex_;
  std::map<std::pair<std::string, bool>, std::unique_ptr<Spawner>> spawners_;  // by cgroup parent and access to devices
};

}  // namespace dagger::oci
