#include <algorithm>
#include <cstdio>

#include "core/runner/doctor/doctor.h"
#include "core/store/layout.h"

namespace dagger::runner {
namespace {

constexpr std::uint64_t mib = 1 << 20, gib = 1 << 30;
constexpr std::uint64_t least_free = 100 * mib, enough_free = 5 * gib;

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string joined(const std::vector<std::string>& all, const char* between = ", ") {
  std::string text;
  for (const auto& one : all) text += (text.empty() ? "" : between) + one;
  return text;
}

std::string size_text(std::uint64_t bytes) {
  char text[32];
  if (bytes >= gib)
    std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / static_cast<double>(gib));
  else
    std::snprintf(text, sizeof text, "%llu MiB", static_cast<unsigned long long>(bytes / mib));
  return text;
}

class Diagnosis {
 public:
  explicit Diagnosis(const HostFacts& facts) : f_(facts) {}

  std::vector<Finding> all() {
    configuration();
    user();
    kernel();
    file_systems();
    namespaces();
    cgroups();
    runtimes();
    plugins();
    state();
    disk();
    registries();
    other_engines();
    return std::move(findings_);
  }

 private:
  void ok(std::string subject, std::string text) {
    findings_.push_back({Finding::ok, std::move(subject), std::move(text), {}});
  }
  void warn(std::string subject, std::string text, std::string remedy) {
    findings_.push_back({Finding::warn, std::move(subject), std::move(text), std::move(remedy)});
  }
  // What keeps a runner of this machine from working is no failure where clients use another one.
  void fail(std::string subject, std::string text, std::string remedy) {
    findings_.push_back(
        {f_.runner ? Finding::warn : Finding::fail, std::move(subject), std::move(text), std::move(remedy)});
  }

  const HostFacts::Plugin* taken(const char* kind) const {
    for (const auto& plugin : f_.plugins)
      if (plugin.kind == kind && plugin.taken) return &plugin;
    return nullptr;
  }
  bool chosen(const char* kind, const std::string& name) const {
    return std::any_of(f_.plugins.begin(), f_.plugins.end(),
                       [&](const auto& plugin) { return plugin.kind == kind && plugin.name == name; });
  }

  void configuration() {
    for (const auto& problem : f_.config_problems)
      findings_.push_back(
          {Finding::fail, "configuration", problem, "correct it; `dagger config example` shows every setting"});
    if (f_.config_problems.empty())
      ok("configuration", f_.config_file.empty() ? "no file, the defaults are in effect" : f_.config_file);
    if (!f_.runner) return;
    const auto text = "clients are sent to " + f_.runner->address;
    if (f_.runner->problem.empty())
      ok("runner", text + ", which accepts connections");
    else
      findings_.push_back({Finding::fail, "runner", text + ": " + f_.runner->problem,
                           "start `dagger runner` there, or correct runner_host"});
  }

  void user() {
    if (f_.uid == 0) return ok("user", "root");
    fail("user", "uid " + std::to_string(f_.uid) + ", but a runner needs root for now",
         "start the runner as root, or set runner_host to one that runs as root");
  }

  void kernel() {
    unsigned major = 0, minor = 0;
    std::sscanf(f_.kernel.c_str(), "%u.%u", &major, &minor);
    const auto text = "Linux " + f_.kernel;
    const auto version = major * 1000 + minor;
    if (version < 5003)
      fail("kernel", text + " is too old: 5.3 is needed for handles of processes and the mount API",
           "update the kernel");
    else
      ok("kernel", text + (version < 6007 ? ", overlays are mounted by mount(2)" : ""));
  }

  void file_systems() {
    file_system("overlay", has(f_.file_systems, "overlay"), "the kernel knows no file system overlay",
                "run: modprobe overlay");
    file_system("fuse", f_.fuse_device,
                has(f_.file_systems, "fuse") ? "/dev/fuse cannot be opened" : "the kernel knows no file system fuse",
                has(f_.file_systems, "fuse") ? "make the device available to this process" : "run: modprobe fuse");
  }
  // Of those, only what the configuration wants matters; whether it works is seen by its plugin.
  void file_system(const char* name, bool there, const std::string& text, const std::string& remedy) {
    if (there) return ok(name, "the kernel offers it");
    if (!chosen("snapshotter", name)) return ok(name, text + "; nothing that is configured needs it");
    warn(name, text, remedy);
  }

  void namespaces() {
    if (f_.missing_namespaces.empty()) return ok("namespaces", "mnt, pid, net, ipc, uts, cgroup, user");
    const bool needed = f_.missing_namespaces != std::vector<std::string>{"user"} &&
                        f_.missing_namespaces != std::vector<std::string>{"cgroup"};
    const auto text = "the kernel has none of: " + joined(f_.missing_namespaces);
    if (needed)
      fail("namespaces", text, "use a kernel with CONFIG_NAMESPACES and all kinds of them");
    else
      ok("namespaces", text + "; nothing needs that");
  }

  void cgroups() {
    if (f_.cgroup1.empty() && !f_.cgroup2)
      return warn("cgroups", "none are mounted: limits are not enforced, and runc refuses to run",
                  "mount a cgroup file system on /sys/fs/cgroup");
    const auto one = "version 1 with " + joined(f_.cgroup1), two = "version 2 with " + joined(f_.controllers);
    ok("cgroups", f_.cgroup1.empty() ? two : f_.cgroup2 ? "hybrid: " + one : one);
    const auto& known = f_.cgroup1.empty() ? f_.controllers : f_.cgroup1;
    for (const char* name : {"memory", "pids"})
      if (!has(known, name))
        warn("cgroups", std::string("there is no controller ") + name + ": such limits are not enforced",
             "enable it for this machine or container");
  }

  void runtimes() {
    for (const auto& runtime : f_.runtimes) {
      if (!runtime.path.empty())
        ok(runtime.name, runtime.path + (runtime.version.empty() ? "" : ", " + runtime.version));
      else if (!chosen("executor", runtime.name) || taken("executor") != nullptr)
        ok(runtime.name, "is not installed; it is not needed");
      else
        warn(runtime.name, "is not installed", "run: apt-get install " + runtime.name);
    }
  }

  void plugins() {
    for (const auto& plugin : f_.plugins) {
      const auto subject = plugin.kind + " " + plugin.name;
      const bool decided = plugin.of > 1 && taken(plugin.kind.c_str()) != nullptr;
      if (plugin.problem.empty())
        ok(subject, plugin.of == 1 ? "works here"
                    : plugin.taken ? "works here, and is taken"
                                   : "works here, not needed");
      else if (decided)
        warn(subject, "does not work here, and is passed over: " + plugin.problem,
             "mend that, or take it out of the configuration (" + plugin.text + ")");
      else if (plugin.kind == "secret")  // which runs beside the client
        findings_.push_back({Finding::fail, subject, "does not work here: " + plugin.problem,
                             "mend that, or choose another one (" + plugin.text + ")"});
      else
        fail(subject, "does not work here: " + plugin.problem,
             "mend that, or choose another one (" + plugin.text + ")");
    }
  }

  void state() {
    const auto& s = f_.state;
    const auto subject = "state directory";
    if (!s.writable) return fail(subject, s.dir + " cannot be written", "set state_dir to a directory that can be");
    if (!s.exists) return ok(subject, s.dir + " will be made");
    if (s.owner != f_.uid)
      return fail(subject, s.dir + " belongs to uid " + std::to_string(s.owner),
                  "run: chown -R " + std::to_string(f_.uid) + " " + s.dir);
    if (s.format && *s.format > store::Layout::version)
      return fail(subject,
                  s.dir + " was made by a newer version (format " + std::to_string(*s.format) + ", this one knows " +
                      std::to_string(store::Layout::version) + ")",
                  "use that version, or another state_dir");
    // Such a directory can be the lower part of an overlay, not the part that is written.
    if (const auto* snapshotter = taken("snapshotter"); snapshotter != nullptr && snapshotter->name == "overlay" &&
                                                        has({"overlay", "nfs", "nfs4", "cifs", "vfat"}, s.file_system))
      return fail(subject, s.dir + " is on a file system (" + s.file_system + ") that overlays cannot be written to",
                  "set state_dir to a local disk");
    if ((s.mode & 0022) != 0)
      warn(subject, s.dir + " can be written by others", "run: chmod go-w " + s.dir);
    else
      ok(subject, s.dir + " on " + s.file_system);
    if (s.lock_owner)
      ok("runner", "process " + (*s.lock_owner == 0 ? "of another pid namespace" : std::to_string(*s.lock_owner)) +
                       " uses the state directory");
  }

  void disk() {
    const auto& s = f_.state;
    if (s.total_bytes == 0) return;
    const auto text = size_text(s.free_bytes) + " of " + size_text(s.total_bytes) + " free for " + s.dir;
    const auto remedy = "free some space there, or set state_dir to a larger file system";
    if (s.free_bytes < least_free)
      fail("disk", text, remedy);
    else if (s.free_bytes < enough_free)
      warn("disk", text, remedy);
    else
      ok("disk", text);
    if (s.total_files != 0 && s.free_files < s.total_files / 20)
      warn("disk",
           "only " + std::to_string(s.free_files) + " of " + std::to_string(s.total_files) + " inodes are free for " +
               s.dir,
           "delete files there, or set state_dir to another file system");
  }

  void registries() {
    if (f_.registries.empty()) ok("registries", "none are configured");
    for (const auto& r : f_.registries) {
      if (r.problem.empty())
        ok("registry " + r.name, r.address + " accepts connections");
      else
        warn("registry " + r.name, r.address + ": " + r.problem,
             "check the name, the network and the firewall; see [registries]");
    }
  }

  // For people who come from there; nothing of them is used.
  void other_engines() {
    for (const auto& program : f_.other_engines) {
      const bool socket = program.name == "docker" ? f_.docker_socket : f_.podman_socket;
      ok(program.name, (program.path.empty() ? "is not installed" : program.path) +
                           (socket ? ", its service listens" : ", no service listens") + "; not needed");
    }
  }

  const HostFacts& f_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string Finding::line() const {
  const char* word = level == ok ? "ok    " : level == warn ? "warn  " : "fail  ";
  return word + subject + ": " + text + (remedy.empty() ? "" : "; " + remedy);
}

std::vector<Finding> diagnose(const HostFacts& facts) { return Diagnosis(facts).all(); }

}  // namespace dagger::runner
