// plugins/common/oci-runtime/cgroups.h — a cgroup for each exec where the machine has cgroups: v1, v2, hybrid or none.
//
// What execs share (the guard of devices) a helper joins once. Groups live below the runner's own, so that limits on
// the runner hold for its execs: <own>/dagger-<random>/..., one such directory per process and hierarchy, locked
// (flock) while the process lives. Whoever comes next removes the directories whose lock is free: a killed runner
// leaves nothing that needs a hand. Device access is denied here (v1: devices.deny, v2: a device program), since mknod
// alone is allowed to containers. On a hybrid host the v1 hierarchies count. [thread-safe] [blocking]
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dagger/plugin/executor.h"

namespace dagger::oci {

enum class CgroupLayout { none, v1, v2 };  // hybrid is v1

struct Hierarchy {
  std::vector<std::string> controllers;  // v1: of this hierarchy; v2: empty
  std::string mount;                     // where it is mounted
  std::string own;                       // absolute directory of the group this process is in
  bool has(std::string_view controller) const;
};

struct CgroupMounts {
  CgroupLayout layout = CgroupLayout::none;
  std::vector<Hierarchy> hierarchies;
  std::string unified;  // hybrid: where the v2 hierarchy is mounted; else empty
};
// From the texts of /proc/self/mountinfo and /proc/self/cgroup. Pure.
CgroupMounts parse_cgroups(std::string_view mountinfo, std::string_view own);

// The group of one exec that has limits, or whose runtime makes groups. Removed by the destructor, when every process
// of it has ended. Others have none of their own: to move a process into a group costs some 10 ms.
class ExecCgroup {
 public:
  ExecCgroup() = default;
  ExecCgroup(const ExecCgroup&) = delete;
  ExecCgroup& operator=(const ExecCgroup&) = delete;
  ~ExecCgroup();
  const std::vector<UniqueFd>& procs() const noexcept { return procs_; }  // cgroup.procs of each part, to join
  // Where a runtime that insists on making groups may: relative to the hierarchies' mount points; "" if nowhere.
  const std::string& runtime_path() const noexcept { return runtime_path_; }
  plugin::ExecStats stats() const;
  bool oom_killed() const;

 private:
  friend class Cgroups;
  std::vector<UniqueFd> procs_;
  std::vector<std::string> remove_;  // directories, with what a runtime made below
  std::string memory_, cpu_;         // directories that tell about memory and processor time; "": none
  bool v2_ = false;
  std::string runtime_path_;
};

class Cgroups {
 public:
  // Looks at the machine and removes what dead processes left. runtime_makes_groups: the runtime insists on groups of
  // its own, by ExecCgroup::runtime_path(), and guards devices itself.
  explicit Cgroups(bool runtime_makes_groups);
  ~Cgroups();
  const CgroupMounts& mounts() const noexcept { return mounts_; }
  // True: processes that join a group of make() cannot open devices, whatever nodes they make.
  bool guards_devices() const noexcept;
  // cgroup.procs of the groups that execs without one of their own share.
  std::vector<UniqueFd> shared(const std::string& parent, bool all_devices);
  // parent: a directory relative to the hierarchies' mount points; "": the runner's own group. Throws unsupported when
  // a limit cannot be kept here.
  std::unique_ptr<ExecCgroup> make(const std::string& exec_id, const std::string& parent, const plugin::Limits& limits,
                                   bool all_devices);

 private:
  struct Instance;
  Instance& instance(const std::string& parent);
  void make_v1(ExecCgroup& group, const Instance& in, const std::string& id, const plugin::Limits& limits) const;
  void make_v2(ExecCgroup& group, const Instance& in, const std::string& id, const plugin::Limits& limits,
               bool all_devices) const;
  bool runtime_makes_groups_;
  CgroupMounts mounts_;
  std::string name_;         // "dagger-<random>"
  UniqueFd device_program_;  // v2
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Instance>> instances_;  // by parent
};

}  // namespace dagger::oci
