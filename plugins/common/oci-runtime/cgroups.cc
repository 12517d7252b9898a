#include "plugins/common/oci-runtime/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "plugins/common/oci-runtime/device_program.h"
#include "plugins/common/sys/sys.h"

namespace dagger::oci {
namespace {

constexpr std::string_view prefix = "dagger-";

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find(separator, start), text.size());
    out.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return out;
}

bool is_directory(const std::string& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string slurp(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? sys::read_all(fd.get(), 1 << 20) : std::string();
}

bool put(const std::string& path, std::string_view value) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

std::uint64_t number_after(const std::string& text, std::string_view key) {
  const auto at = text.find(key);
  std::uint64_t value = 0;
  if (at != std::string::npos) std::from_chars(text.data() + at + key.size(), text.data() + text.size(), value);
  return value;
}

std::vector<std::string> subdirectories(const std::string& path) {
  std::vector<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  while (const dirent* e = dir ? ::readdir(dir.get()) : nullptr)
    if (e->d_type == DT_DIR && e->d_name[0] != '.') out.emplace_back(e->d_name);
  return out;
}

// Removes a group and those below it; the files in it are the kernel's. Quiet: it may be gone, or not empty yet.
void remove_group(const std::string& path, int depth = 0) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT || depth > 32) return;
  for (const auto& name : subdirectories(path)) remove_group(path + "/" + name, depth + 1);
  ::rmdir(path.c_str());
}

// Opens path and takes its lock; empty when another process holds it.
UniqueFd lock_directory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

void remove_stale(const std::string& base) {
  for (const auto& name : subdirectories(base))
    if (std::string_view(name).substr(0, prefix.size()) == prefix && lock_directory(base + "/" + name))
      remove_group(base + "/" + name);
}

void make_group(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) sys::fail("make cgroup " + path);
}

std::string random_name() {
  std::uint64_t value = 0;
  if (::getrandom(&value, sizeof value, 0) != sizeof value) sys::fail("getrandom");
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return std::string(prefix) + text;
}

[[noreturn]] void no_limit(const char* what) {
  throw Error(Code::unsupported, std::string(what) +
                                     " cannot be limited: this machine gives the runner no such cgroup "
                                     "controller (run it where it may use cgroups, or drop the limit)");
}

}  // namespace

bool Hierarchy::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

CgroupMounts parse_cgroups(std::string_view mountinfo, std::string_view own) {
  CgroupMounts out;
  std::vector<Hierarchy> v1, v2;
  for (const auto& line : split(mountinfo, '\n')) {
    const auto f = split(line, ' ');  // id parent dev root mountpoint options... - type source superoptions
    const auto dash = std::find(f.begin(), f.end(), "-");
    if (f.size() < 10 || f.end() - dash < 4) continue;
    const bool unified = dash[1] == "cgroup2";
    if (!unified && dash[1] != "cgroup") continue;
    Hierarchy h;
    h.mount = f[4];
    const auto options = split(dash[3], ',');
    for (const auto& group : split(own, '\n')) {
      const auto g = split(group, ':');  // id:controllers:path
      if (g.size() < 3) continue;
      const auto controllers = split(g[1], ',');
      const bool this_one =
          unified ? g[0] == "0"
                  : !g[1].empty() && std::find(options.begin(), options.end(), controllers[0]) != options.end();
      if (!this_one) continue;
      if (!unified) h.controllers = controllers;
      std::string path = group.substr(g[0].size() + g[1].size() + 2);
      if (f[3] != "/" && path.compare(0, f[3].size(), f[3]) == 0) path.erase(0, f[3].size());  // seen from the mount
      h.own = path.empty() || path == "/" ? h.mount : h.mount + path;
    }
    if (!h.own.empty()) (unified ? v2 : v1).push_back(std::move(h));
  }
  if (!v1.empty()) {
    out.layout = CgroupLayout::v1;
    if (!v2.empty()) out.unified = v2.front().mount;
    out.hierarchies = std::move(v1);
  } else if (!v2.empty()) {
    out.layout = CgroupLayout::v2;
    out.hierarchies.push_back(std::move(v2.front()));
  }
  return out;
}

ExecCgroup::~ExecCgroup() {
  for (const auto& path : remove_) remove_group(path);
}

plugin::ExecStats ExecCgroup::stats() const {
  plugin::ExecStats s;
  if (!memory_.empty())
    s.memory_peak_bytes = number_after(slurp(memory_ + (v2_ ? "/memory.peak" : "/memory.max_usage_in_bytes")), "");
  if (!cpu_.empty())
    s.cpu_usec = v2_ ? number_after(slurp(cpu_ + "/cpu.stat"), "usage_usec ")
                     : number_after(slurp(cpu_ + "/cpuacct.usage"), "") / 1000;
  return s;
}

bool ExecCgroup::oom_killed() const {
  if (memory_.empty()) return false;
  return number_after(slurp(memory_ + (v2_ ? "/memory.events" : "/memory.oom_control")), "oom_kill ") > 0;
}

// What this process has made below one parent: a locked directory in each hierarchy.
struct Cgroups::Instance {
  struct Part {
    const Hierarchy* hierarchy;
    std::string path;
    std::string relative;  // to the mount point
    UniqueFd lock;
  };
  std::vector<Part> parts;
  bool guarded = false;  // devices
  Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance() {
    for (const auto& p : parts) remove_group(p.path);
  }
  const Part* find(std::string_view controller) const {
    for (const auto& p : parts)
      if (p.hierarchy->has(controller)) return &p;
    return nullptr;
  }
};

Cgroups::Cgroups(bool runtime_makes_groups)
    : runtime_makes_groups_(runtime_makes_groups),
      mounts_(parse_cgroups(slurp("/proc/self/mountinfo"), slurp("/proc/self/cgroup"))),
      name_(random_name()) {
  for (auto& h : mounts_.hierarchies) {
    if (!is_directory(h.own)) h.own = h.mount;  // a container's view without a cgroup namespace
    remove_stale(h.own);
    if (h.mount != h.own) remove_stale(h.mount);
  }
  if (mounts_.layout == CgroupLayout::v2 && !runtime_makes_groups) device_program_ = load_device_program();
}

Cgroups::~Cgroups() = default;

bool Cgroups::guards_devices() const noexcept {
  if (runtime_makes_groups_) return mounts_.layout != CgroupLayout::none;
  if (mounts_.layout == CgroupLayout::v2) return static_cast<bool>(device_program_);
  return std::any_of(mounts_.hierarchies.begin(), mounts_.hierarchies.end(),
                     [](const auto& h) { return h.has("devices"); });
}

Cgroups::Instance& Cgroups::instance(const std::string& parent) {
  const std::lock_guard lock(mutex_);
  auto& slot = instances_[parent];
  if (slot) return *slot;
  auto made = std::make_unique<Instance>();
  for (const auto& h : mounts_.hierarchies) {
    const std::string base = parent.empty() ? h.own : h.mount + "/" + parent;
    if (!parent.empty()) make_group(base);
    remove_stale(base);  // again: right after a kill, the dead may still have been on their way out
    Instance::Part part{&h, base + "/" + name_, {}, UniqueFd()};
    part.relative = part.path.substr(h.mount.size());
    make_group(part.path);
    part.lock = lock_directory(part.path);
    if (!part.lock) throw Error(Code::unavailable, "cgroup " + part.path + " is in use by another process");
    if (mounts_.layout == CgroupLayout::v2) {
      for (const char* controller : {"+memory", "+pids", "+cpu"}) {  // those that may be passed on here
        put(base + "/cgroup.subtree_control", controller);
        put(part.path + "/cgroup.subtree_control", controller);
      }
      for (const char* kind : {"/guarded", "/all"}) {
        make_group(part.path + kind);
        for (const char* controller : {"+memory", "+pids", "+cpu"})
          put(part.path + kind + "/cgroup.subtree_control", controller);
      }
      const UniqueFd guarded(::open((part.path + "/guarded").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      made->guarded = device_program_ && attach_device_program(device_program_.get(), guarded.get());
    } else if (h.has("devices") && !runtime_makes_groups_) {
      made->guarded = put(part.path + "/devices.deny", "a");
      for (const auto& line : allowed_devices_v1())
        made->guarded = put(part.path + "/devices.allow", line) && made->guarded;
    } else if (h.has("cpuset")) {  // a v1 cpuset takes no process before it has cpus and nodes
      put(part.path + "/cgroup.clone_children", "1");
      for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) put(part.path + file, slurp(base + file));
    }
    made->parts.push_back(std::move(part));
  }
  slot = std::move(made);
  return *slot;
}

namespace {

// A group with one control file written; v1 and v2 differ in names only.
void limit(const std::string& file, std::uint64_t value, const char* what) {
  if (!put(file, std::to_string(value))) no_limit(what);
}

// The runtime's own processes count while it starts the container.
std::uint64_t pids_with_runtime(std::uint64_t pids) { return std::max<std::uint64_t>(pids + 1, 24); }

UniqueFd open_procs(const std::string& path) { return sys::open_at(AT_FDCWD, path + "/cgroup.procs", O_WRONLY); }

}  // namespace

void Cgroups::make_v1(ExecCgroup& group, const Instance& in, const std::string& id, const plugin::Limits& limits,
                      bool all_devices) const {
  const auto enter = [&](const char* controller) -> std::string {
    const auto* part = in.find(controller);
    if (part == nullptr) return {};
    const std::string path = part->path + "/" + id;
    if (std::find(group.remove_.begin(), group.remove_.end(), path) != group.remove_.end()) return path;  // cpu,cpuacct
    make_group(path);
    group.remove_.push_back(path);
    group.procs_.push_back(open_procs(path));
    return path;
  };
  group.memory_ = enter("memory");
  group.cpu_ = enter("cpuacct");
  if (limits.memory_bytes > 0) {
    if (group.memory_.empty()) no_limit("memory");
    limit(group.memory_ + "/memory.limit_in_bytes", limits.memory_bytes, "memory");
    put(group.memory_ + "/memory.memsw.limit_in_bytes", std::to_string(limits.memory_bytes));
  }
  if (limits.cpus > 0) {
    const auto path = enter("cpu");
    if (path.empty()) no_limit("processor time");
    limit(path + "/cpu.cfs_quota_us", static_cast<std::uint64_t>(std::max(1000.0, limits.cpus * 100000)),
          "processor time");
  }
  if (limits.pids > 0) {
    const auto path = enter("pids");
    if (path.empty()) no_limit("the number of processes");
    limit(path + "/pids.max", pids_with_runtime(limits.pids), "the number of processes");
  }
  if (const auto* devices = in.find("devices"); devices != nullptr && !all_devices && in.guarded)
    group.procs_.push_back(open_procs(devices->path));  // rules are inherited: no group of its own is needed
  if (!runtime_makes_groups_ || in.parts.empty()) return;
  const auto* any = in.find("devices");
  group.runtime_path_ = (any != nullptr ? any : &in.parts.front())->relative + "/" + id + "-runtime";
  for (const auto& p : in.parts) {  // a runtime uses the same path in every hierarchy, also where ours is another
    const std::string made = p.hierarchy->mount + group.runtime_path_;
    group.remove_.push_back(made);
    if (const std::string above = made.substr(0, made.rfind('/')); above != p.path) group.remove_.push_back(above);
  }
}

void Cgroups::make_v2(ExecCgroup& group, const Instance& in, const std::string& id, const plugin::Limits& limits,
                      bool all_devices) const {
  const auto& part = in.parts.front();
  const std::string below = std::string(all_devices ? "/all/" : "/guarded/") + id;
  const std::string path = part.path + below;
  make_group(path);
  group.remove_.push_back(path);
  group.v2_ = true;
  group.memory_ = group.cpu_ = path;
  if (limits.memory_bytes > 0) {
    limit(path + "/memory.max", limits.memory_bytes, "memory");
    put(path + "/memory.swap.max", "0");
  }
  if (limits.cpus > 0 &&
      !put(path + "/cpu.max",
           std::to_string(static_cast<std::uint64_t>(std::max(1000.0, limits.cpus * 100000))) + " 100000"))
    no_limit("processor time");
  if (limits.pids > 0) limit(path + "/pids.max", pids_with_runtime(limits.pids), "the number of processes");
  group.procs_.push_back(open_procs(path));
  if (runtime_makes_groups_) group.runtime_path_ = part.relative + below + "/runtime";
}

std::unique_ptr<ExecCgroup> Cgroups::make(const std::string& exec_id, const std::string& parent,
                                          const plugin::Limits& limits, bool all_devices) {
  auto group = std::make_unique<ExecCgroup>();
  if (mounts_.layout == CgroupLayout::none) {
    if (limits.memory_bytes > 0) no_limit("memory");
    if (limits.cpus > 0) no_limit("processor time");
    if (limits.pids > 0) no_limit("the number of processes");
    return group;
  }
  const auto& in = instance(parent);
  if (mounts_.layout == CgroupLayout::v1)
    make_v1(*group, in, exec_id, limits, all_devices);
  else
    make_v2(*group, in, exec_id, limits, all_devices);
  return group;
}

}  // namespace dagger::oci
