#include "plugins/common/oci-runtime/executor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "plugins/common/base/base64.h"
#include "plugins/common/oci-runtime/plan_writer.h"
#include "plugins/common/oci-runtime/running.h"
#include "plugins/common/oci-runtime/seccomp.h"
#include "plugins/common/oci-runtime/spec.h"
#include "plugins/common/sys/sys.h"

namespace dagger::oci {
namespace {

using plugin::ExecMount;
using plugin::ExecRequest;
using plugin::LocalExec;
using plugin::LocalMount;
using plugin::MountKind;

constexpr const char* cgroup_root = "/sys/fs/cgroup";

std::uint64_t most_open_files() {
  const auto text = sys::read_all(sys::open_at(AT_FDCWD, "/proc/sys/fs/nr_open", O_RDONLY).get(), 64);
  return std::strtoull(text.c_str(), nullptr, 10);
}

// Of one argument, and of "NAME=value", with the NUL at the end (MAX_ARG_STRLEN).
constexpr std::size_t max_string = 32 * 4096;
// Of all of them, each with a pointer; some room for PATH, HOME and the kernel's own.
constexpr std::size_t max_strings = usual_stack / 4 - 8192;

void refuse_nul(const std::string& text, const char* what) {
  if (text.find('\0') != std::string::npos)
    throw Error(Code::invalid_argument, std::string(what) + " contains a NUL character, which no process can be given");
}

void check(const ExecRequest& request, const LocalExec& local) {
  if (request.args.empty()) throw Error(Code::invalid_argument, "no command has been set");
  if (local.mounts.size() != request.mounts.size())
    throw Error(Code::internal, "an exec has another number of prepared mounts than of mounts");
  if (!request.devices.empty())
    throw Error(Code::unsupported, "this executor offers no devices; asked for: " + request.devices.front());
  std::size_t total = 0;
  for (std::size_t i = 0; i < request.args.size(); ++i) {
    total += request.args[i].size() + 1 + sizeof(char*);
    refuse_nul(request.args[i], "an argument of the command");
    if (request.args[i].size() >= max_string)
      throw Error(Code::invalid_argument, "argument " + std::to_string(i) + " of the command has " +
                                              std::to_string(request.args[i].size()) + " bytes, and Linux takes " +
                                              std::to_string(max_string - 1) + ": give it in a file or as stdin");
  }
  for (const auto& [name, value] : request.env) {
    total += name.size() + value.size() + 2 + sizeof(char*);
    if (name.empty() || name.find('=') != std::string::npos)
      throw Error(Code::invalid_argument, "not a name of an environment variable: \"" + name + "\"");
    refuse_nul(name, "the name of an environment variable");
    refuse_nul(value, "an environment variable");  // its value may be a secret: no name of it, no text
    if (name.size() + 1 + value.size() >= max_string)
      throw Error(Code::invalid_argument, "environment variable " + name + " is longer than Linux takes, which is " +
                                              std::to_string(max_string - 1) +
                                              " bytes with its name: give it in a file");
  }
  if (total > max_strings)
    throw Error(Code::invalid_argument, "arguments and environment of the command have " + std::to_string(total) +
                                            " bytes together, and Linux takes " + std::to_string(max_strings) +
                                            ": give them in files or as stdin");
}

std::string hosts_text(const ExecRequest& request) {
  std::string text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  if (!request.hostname.empty()) text += "127.0.0.1\t" + request.hostname + "\n";
  for (const auto& h : request.hosts) text += h.address + "\t" + h.name + "\n";
  return text;
}

bool covers_etc(const std::string& target) { return target == "/" || target == "/etc"; }

bool is_directory(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) sys::fail("look at a mount");
  return S_ISDIR(st.st_mode);
}

// Builds the plan of one exec; owns the fds that go to the helper until it is spawned.
class Preparation {
 public:
  Preparation(const std::string& dir, const ExecRequest& request, const LocalExec& local)
      : dir_(dir), request_(request), local_(local) {}

  void namespaces(const ExecCgroup& group) {
    for (const auto& procs : group.procs())
      plan_.add(StepKind::join_cgroup, request_.exec_id, plan_.borrow(procs.get()));
    if (local_.netns == plugin::Namespace::isolated) plan_.add(StepKind::new_netns);
    if (local_.netns == plugin::Namespace::joined) plan_.add(StepKind::join_netns, {}, plan_.borrow(local_.netns_fd));
    plan_.add(StepKind::proc);
  }

  // The hierarchies that the runtime may see. Privileged execs see what the machine has, but no v2 one beside v1, which
  // runtimes refuse; for others a runtime that manages groups gets one hierarchy, others an empty directory.
  void cgroups(const CgroupMounts& mounts, bool runtime_needs_them) {
    if (mounts.layout == CgroupLayout::v2) return;
    if (!mounts.unified.empty()) plan_.add(StepKind::detach, mounts.unified);
    if (request_.root_capabilities && mounts.layout != CgroupLayout::none) return;
    UniqueFd devices;
    if (runtime_needs_them) devices = clone_devices(mounts);
    plan_.add(StepKind::detach, cgroup_root);
    plan_.tmpfs(cgroup_root, "mode=0755");
    if (!devices) return;
    const std::string at = std::string(cgroup_root) + "/devices";
    plan_.add(StepKind::directory, at, -1, 0755);
    plan_.add(StepKind::attach, at, plan_.own(std::move(devices)));
  }

  void root() {
    plan_.tmpfs(dir_, "mode=0700");
    for (const char* name : {"/rootfs", "/m", "/state"}) plan_.add(StepKind::directory, dir_ + name, -1, 0700);
    attach(dir_ + "/rootfs", local_.root_fd, local_.root_detached_mount);
  }

  void mounts() {
    bool etc = true;
    for (std::size_t i = 0; i < request_.mounts.size(); ++i) {
      add_mount(request_.mounts[i], local_.mounts[i]);
      etc = etc && !covers_etc(request_.mounts[i].target);
    }
    if (!etc) return;
    provide("/etc/hosts", hosts_text(request_));
    if (!request_.hostname.empty()) provide("/etc/hostname", request_.hostname + "\n");
    if (local_.netns == plugin::Namespace::host && ::access("/etc/resolv.conf", R_OK) == 0 &&
        !taken("/etc/resolv.conf"))
      spec_mounts_.push_back({"/etc/resolv.conf", "/etc/resolv.conf", true, 0});
  }

  PlanWriter& plan() noexcept { return plan_; }
  std::vector<SpecMount>& spec_mounts() noexcept { return spec_mounts_; }

 private:
  static UniqueFd clone_devices(const CgroupMounts& mounts) {
    for (const auto& h : mounts.hierarchies)
      if (h.has("devices")) return sys::clone_tree(sys::open_at(AT_FDCWD, h.mount, O_PATH | O_DIRECTORY).get());
    return UniqueFd();
  }

  std::string next_path() { return dir_ + "/m/" + std::to_string(count_++); }

  // A copy of the mount is attached, so that the engine's own stays as it is. Kernels before 6.15 copy no detached
  // mount: then it is the mount itself, which nobody else uses while the exec runs.
  void attach(const std::string& path, int fd, bool detached) {
    auto copy = copy_of(fd, detached);
    plan_.add(StepKind::attach, path, copy ? plan_.own(std::move(copy)) : plan_.borrow(fd));
  }
  static UniqueFd copy_of(int fd, bool detached) {
    UniqueFd copy = sys::clone_tree(fd);
    if (!copy && !(detached && errno == EINVAL)) sys::fail("copy a mount");
    return copy;
  }

  std::string content_file(const std::string& text, unsigned mode, std::uint32_t uid, std::uint32_t gid) {
    auto path = next_path();
    plan_.file(path, text, mode, uid, gid);
    return path;
  }

  // Where the object fd is attached, directory or file.
  std::string attached(int fd, bool detached) {
    auto path = next_path();
    if (is_directory(fd))
      plan_.add(StepKind::directory, path, -1, 0700);
    else
      plan_.file(path, {}, 0600, 0, 0);
    attach(path, fd, detached);
    return path;
  }

  std::string attached_part(const ExecMount& m, const LocalMount& local) {
    if (m.subpath.empty() || m.subpath == "/") return attached(local.fd, local.detached_mount);
    const auto part = sys::open_in_root(local.fd, m.subpath, O_PATH);
    if (copy_of(part.get(), local.detached_mount)) return attached(part.get(), false);
    // No copy of a part of a detached mount (see attach): the whole is attached, and the part named by its path there,
    // which cannot change any more: it has no links, and nobody else writes the view.
    char link[4096] = "";
    const ssize_t size = ::readlink(sys::fd_path(part.get()).c_str(), link, sizeof link - 1);
    if (size <= 0) sys::fail("find " + m.subpath);
    return attached(local.fd, true) + std::string(link, static_cast<std::size_t>(size));
  }

  void add_mount(const ExecMount& m, const LocalMount& local) {
    SpecMount mount{m.target, {}, m.read_only, m.size_bytes};
    switch (m.kind) {
      case MountKind::tmpfs:
        break;
      case MountKind::secret:
        mount.source = content_file(m.content, m.mode & 07777, m.uid, m.gid);
        mount.read_only = true;
        break;
      case MountKind::file:
        mount.source = local.fd >= 0 ? attached(local.fd, local.detached_mount) : content_file(m.content, 0644, 0, 0);
        mount.read_only = true;
        break;
      case MountKind::tree:
      case MountKind::cache:
      case MountKind::socket:
        mount.source = attached_part(m, local);
        break;
    }
    spec_mounts_.push_back(std::move(mount));
  }

  bool taken(const char* target) const {
    return std::any_of(request_.mounts.begin(), request_.mounts.end(),
                       [&](const auto& m) { return m.target == target; });
  }
  void provide(const char* target, const std::string& text) {
    if (!taken(target)) spec_mounts_.push_back({target, content_file(text, 0644, 0, 0), true, 0});
  }

  const std::string& dir_;
  const ExecRequest& request_;
  const LocalExec& local_;
  PlanWriter plan_;
  std::vector<SpecMount> spec_mounts_;
  int count_ = 0;
};

std::vector<std::string> runtime_command(const Runtime& runtime, const std::string& binary, const std::string& dir,
                                         const std::string& id) {
  std::vector<std::string> argv = {binary,         "--root", dir + "/state", "--log", dir + "/" + runtime_log_name,
                                   "--log-format", "json"};
  argv.insert(argv.end(), runtime.global_flags.begin(), runtime.global_flags.end());
  for (const auto& word : {std::string("run"), std::string("--detach"), std::string("--bundle"), dir,
                           std::string("--pid-file"), dir + "/pid", id})
    argv.push_back(word);
  return argv;
}

}  // namespace

OciExecutor::OciExecutor(plugin::Host& host, std::string_view config_json, Runtime runtime)
    : host_(host),
      runtime_(std::move(runtime)),
      capabilities_(bounding_capabilities()),
      cgroups_(runtime_.needs_cgroups) {
  const auto config = nlohmann::json::parse(config_json.empty() ? "{}" : config_json, nullptr, false);
  if (!config.is_object()) throw Error(Code::invalid_argument, "settings are not a JSON object");
  const auto setting = config.find("binary");
  if (setting != config.end() && !setting->is_string()) throw Error(Code::invalid_argument, "\"binary\" is not a text");
  const std::string binary = setting != config.end() ? setting->get<std::string>() : runtime_.name;
  binary_ = sys::find_program(binary, runtime_.name);
  helper_ = std::string(host.install_dir()) + "/lib/dagger/dagger-exec-helper";
  if (!sys::runnable(helper_))
    throw Error(Code::unsupported, "no program " + helper_ + ": the installation is incomplete");
  if (std::find(capabilities_.begin(), capabilities_.end(), "CAP_SYS_ADMIN") == capabilities_.end() || ::geteuid() != 0)
    throw Error(Code::unsupported, "execs with " + runtime_.name + " need root: start the runner as root");
  private_dir_ = std::string(host.state_dir()) + "/private";
  if (::mkdir(private_dir_.c_str(), 0700) != 0 && errno != EEXIST) sys::fail("make directory " + private_dir_);
  if (runtime_.needs_cgroups && cgroups_.mounts().layout == CgroupLayout::none)
    throw Error(Code::unsupported, runtime_.name +
                                       " does not run without cgroups, and none are mounted here: mount them "
                                       "at /sys/fs/cgroup, or choose the crun executor");
  auto available = capabilities_;
  if (!cgroups_.guards_devices()) {
    available.erase(std::remove(available.begin(), available.end(), "CAP_MKNOD"), available.end());
    host.log(
        plugin::LogLevel::warn,
        "no cgroup guards devices here: execs can neither make device nodes (no CAP_MKNOD) nor use those of an image");
  }
  container_capabilities_ = default_capabilities(available);
  const bool may_raise =
      std::find(capabilities_.begin(), capabilities_.end(), "CAP_SYS_RESOURCE") != capabilities_.end();
  limits_ = usual_limits(may_raise, most_open_files());
}

OciExecutor::~OciExecutor() = default;

void* OciExecutor::capability(std::string_view id) noexcept {
  return id == plugin::LocalExecutor::capability_id ? static_cast<plugin::LocalExecutor*>(this) : nullptr;
}

plugin::ExecutorTraits OciExecutor::traits() const {
  plugin::ExecutorTraits t;
  t.limits = cgroups_.mounts().layout != CgroupLayout::none;
  return t;
}

std::unique_ptr<plugin::Running> OciExecutor::start(const ExecRequest&, const plugin::Stdio&, plugin::LayerTransfer&,
                                                    plugin::CallContext&) {
  throw Error(Code::unsupported, runtime_.name + " runs local root filesystems only (executor.local/1)");
}

// Compiled for the first exec that wants it: a runner that only answers from its cache need not wait.
const std::string& OciExecutor::filter_program() {
  std::call_once(filter_compiled_, [this] {
    filter_program_ = plugin_base::base64(seccomp_program(default_seccomp(container_capabilities_)));
  });
  return filter_program_;
}

Spawner& OciExecutor::spawner(const std::string& cgroup_parent, bool all_devices) {
  const std::lock_guard lock(mutex_);
  auto& slot = spawners_[{cgroup_parent, all_devices}];
  if (!slot)
    slot = std::make_unique<Spawner>(host_, helper_, private_dir_, cgroups_.shared(cgroup_parent, all_devices));
  return *slot;
}

std::unique_ptr<plugin::Running> OciExecutor::start_local(const ExecRequest& request, const LocalExec& local,
                                                          const plugin::Stdio& stdio, plugin::CallContext& ctx) {
  check(request, local);
  if (ctx.cancelled()) throw Error(Code::cancelled, "no one waits for the exec any more");
  const bool all = request.root_capabilities;
  auto group = cgroups_.make(request.exec_id, local.cgroup_parent, request.limits, all);

  Preparation p(private_dir_, request, local);
  p.namespaces(*group);
  p.cgroups(cgroups_.mounts(), runtime_.needs_cgroups);
  p.root();
  p.mounts();

  SpecInput input;
  input.root_path = private_dir_ + "/rootfs";
  input.user = resolve_user(local.root_fd, request.user);
  input.mounts = std::move(p.spec_mounts());
  input.limits = limits_;
  input.no_devices = !all && !cgroups_.guards_devices();
  input.capabilities = all ? capabilities_ : container_capabilities_;
  if (!all && runtime_.takes_filter_program) input.filter_program = filter_program();
  input.cgroup_mount =
      cgroups_.mounts().layout == CgroupLayout::v2 || (all && cgroups_.mounts().layout == CgroupLayout::v1);
  input.cgroups_path = group->runtime_path();
  p.plan().file(private_dir_ + "/config.json", make_spec(request, input), 0600, 0, 0);
  p.plan().run(private_dir_ + "/pid", runtime_command(runtime_, binary_, private_dir_, request.exec_id));

  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) sys::fail("make a pipe");
  UniqueFd answer(ends[0]), answer_end(ends[1]);
  const auto plan = p.plan().finish();
  std::vector<int> fds = {stdio.in, stdio.out, stdio.err, plan.get(), answer_end.get()};
  fds.insert(fds.end(), p.plan().fds().begin(), p.plan().fds().end());
  auto pidfd = spawner(local.cgroup_parent, all).spawn(fds);
  return std::make_unique<OciRunning>(request.args.front(), std::move(pidfd), std::move(answer), std::move(group));
}

}  // namespace dagger::oci
