#include "plugins/common/oci-runtime/spec.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <iterator>

#include <nlohmann/json.hpp>

#include "plugins/common/oci-runtime/seccomp.h"

namespace dagger::oci {
namespace {

using nlohmann::json;

constexpr const char* capability_names[] = {"CAP_CHOWN",
                                            "CAP_DAC_OVERRIDE",
                                            "CAP_DAC_READ_SEARCH",
                                            "CAP_FOWNER",
                                            "CAP_FSETID",
                                            "CAP_KILL",
                                            "CAP_SETGID",
                                            "CAP_SETUID",
                                            "CAP_SETPCAP",
                                            "CAP_LINUX_IMMUTABLE",
                                            "CAP_NET_BIND_SERVICE",
                                            "CAP_NET_BROADCAST",
                                            "CAP_NET_ADMIN",
                                            "CAP_NET_RAW",
                                            "CAP_IPC_LOCK",
                                            "CAP_IPC_OWNER",
                                            "CAP_SYS_MODULE",
                                            "CAP_SYS_RAWIO",
                                            "CAP_SYS_CHROOT",
                                            "CAP_SYS_PTRACE",
                                            "CAP_SYS_PACCT",
                                            "CAP_SYS_ADMIN",
                                            "CAP_SYS_BOOT",
                                            "CAP_SYS_NICE",
                                            "CAP_SYS_RESOURCE",
                                            "CAP_SYS_TIME",
                                            "CAP_SYS_TTY_CONFIG",
                                            "CAP_MKNOD",
                                            "CAP_LEASE",
                                            "CAP_AUDIT_WRITE",
                                            "CAP_AUDIT_CONTROL",
                                            "CAP_SETFCAP",
                                            "CAP_MAC_OVERRIDE",
                                            "CAP_MAC_ADMIN",
                                            "CAP_SYSLOG",
                                            "CAP_WAKE_ALARM",
                                            "CAP_BLOCK_SUSPEND",
                                            "CAP_AUDIT_READ",
                                            "CAP_PERFMON",
                                            "CAP_BPF",
                                            "CAP_CHECKPOINT_RESTORE"};

constexpr const char* by_default[] = {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
                                      "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
                                      "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
                                      "CAP_KILL",    "CAP_AUDIT_WRITE"};

constexpr const char* masked_paths[] = {"/proc/acpi",
                                        "/proc/asound",
                                        "/proc/kcore",
                                        "/proc/keys",
                                        "/proc/latency_stats",
                                        "/proc/timer_list",
                                        "/proc/timer_stats",
                                        "/proc/sched_debug",
                                        "/proc/scsi",
                                        "/sys/firmware",
                                        "/sys/devices/virtual/powercap"};

constexpr const char* read_only_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

json mount(const char* target, const char* type, const char* source, std::vector<std::string> options) {
  return {{"destination", target}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

json base_mounts(bool privileged, bool cgroup) {
  const std::string access = privileged ? "rw" : "ro";
  json mounts = json::array({
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}),
  });
  if (cgroup)
    mounts.push_back(mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access}));
  return mounts;
}

json extra_mount(const SpecMount& m, bool no_devices) {
  const char* access = m.read_only ? "ro" : "rw";
  if (!m.source.empty()) {
    std::vector<std::string> options = {"bind", "private", access};
    if (no_devices) options.emplace_back("nodev");
    return mount(m.target.c_str(), "bind", m.source.c_str(), std::move(options));
  }
  std::vector<std::string> options = {"nosuid", "nodev", "mode=1777", access};
  if (m.size_bytes > 0) options.push_back("size=" + std::to_string(m.size_bytes));
  return mount(m.target.c_str(), "tmpfs", "tmpfs", std::move(options));
}

json environment(const plugin::ExecRequest& request, const User& user) {
  json env = json::array();
  bool path = false, home = false;
  for (const auto& [name, value] : request.env) {
    path = path || name == "PATH";
    home = home || name == "HOME";
    env.push_back(name + "=" + value);
  }
  if (!path) env.push_back(std::string("PATH=") + default_path);
  if (!home) env.push_back("HOME=" + user.home);
  return env;
}

json resource_limits(const std::vector<ResourceLimit>& limits) {
  json all = json::array();
  for (const auto& l : limits) all.push_back({{"type", l.type}, {"soft", l.soft}, {"hard", l.hard}});
  return all;
}

json process(const plugin::ExecRequest& request, const SpecInput& input) {
  const auto& granted = input.capabilities;
  const auto inherited = request.root_capabilities ? granted : std::vector<std::string>();
  json process = {
      {"terminal", false},
      {"user",
       {{"uid", input.user.uid}, {"gid", input.user.gid}, {"additionalGids", input.user.groups}, {"umask", 022}}},
      {"args", request.args},
      {"env", environment(request, input.user)},
      {"cwd", request.cwd.empty() ? "/" : request.cwd},
      {"capabilities",
       {{"bounding", granted},
        {"effective", granted},
        {"permitted", granted},
        {"inheritable", inherited},
        {"ambient", inherited}}},
      {"noNewPrivileges", false}};
  process["rlimits"] = resource_limits(input.limits);
  return process;
}

json linux_part(const plugin::ExecRequest& request, const SpecInput& input) {
  json part = {{"namespaces", {{{"type", "pid"}}, {{"type", "ipc"}}, {{"type", "uts"}}, {{"type", "mount"}}}},
               {"rootfsPropagation", "private"}};
  part["namespaces"].push_back({{"type", "cgroup"}});
  if (!input.cgroups_path.empty()) part["cgroupsPath"] = input.cgroups_path;
  part["resources"]["devices"] = json::array({{{"allow", request.root_capabilities}, {"access", "rwm"}}});
  if (request.root_capabilities) return part;
  part["maskedPaths"] = masked_paths;
  part["readonlyPaths"] = read_only_paths;
  part["seccomp"] = seccomp_json(default_seccomp(input.capabilities));
  return part;
}

}  // namespace

std::string make_spec(const plugin::ExecRequest& request, const SpecInput& input) {
  json mounts = base_mounts(request.root_capabilities, input.cgroup_mount);
  // A runtime drops the flags that its root had; "/" itself crun takes for no path.
  if (input.no_devices) mounts.push_back(mount("/.", "bind", "/", {"remount", "bind", "nodev"}));
  for (const auto& m : input.mounts) mounts.push_back(extra_mount(m, input.no_devices));
  json spec = {{"ociVersion", "1.0.0"},
               {"process", process(request, input)},
               {"root", {{"path", input.root_path}, {"readonly", false}}},
               {"mounts", std::move(mounts)},
               {"linux", linux_part(request, input)}};
  // Beside the rules, which a runtime that does not know the annotation compiles itself.
  if (!input.filter_program.empty()) spec["annotations"]["run.oci.seccomp_bpf_data"] = input.filter_program;
  if (!request.hostname.empty()) spec["hostname"] = request.hostname;
  // Bytes that are no UTF-8 cannot be carried by JSON: the runtime would refuse them, with less of a reason.
  try {
    return spec.dump();
  } catch (const json::type_error&) {
    throw Error(Code::invalid_argument, "an argument, variable or path of the command is not valid UTF-8");
  }
}

std::vector<ResourceLimit> usual_limits(bool may_raise, std::uint64_t most_open_files) {
  struct Wanted {
    const char* type;
    __rlimit_resource_t resource;
    rlim_t soft, hard;
  };
  const rlim_t files = std::min<rlim_t>(1048576, most_open_files);
  const Wanted wanted[] = {{"RLIMIT_NOFILE", RLIMIT_NOFILE, files, files},
                           {"RLIMIT_CORE", RLIMIT_CORE, 0, RLIM_INFINITY},
                           {"RLIMIT_STACK", RLIMIT_STACK, usual_stack, RLIM_INFINITY},
                           {"RLIMIT_AS", RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY},
                           {"RLIMIT_CPU", RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY},
                           {"RLIMIT_DATA", RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY},
                           {"RLIMIT_FSIZE", RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY},
                           {"RLIMIT_NPROC", RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY}};
  std::vector<ResourceLimit> out;
  for (const auto& w : wanted) {
    rlimit own{RLIM_INFINITY, RLIM_INFINITY};
    if (!may_raise) ::getrlimit(w.resource, &own);
    out.push_back({w.type, std::min(w.soft, own.rlim_max), std::min(w.hard, own.rlim_max)});
  }
  return out;
}

std::vector<std::string> bounding_capabilities() {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::size(capability_names); ++i)
    if (::prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) out.emplace_back(capability_names[i]);
  return out;
}

std::vector<std::string> default_capabilities(const std::vector<std::string>& available) {
  std::vector<std::string> out;
  for (const char* name : by_default)
    if (std::find(available.begin(), available.end(), name) != available.end()) out.emplace_back(name);
  return out;
}

}  // namespace dagger::oci
