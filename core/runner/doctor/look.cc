// What look_at_host() reads and tries. Nothing here judges.
#include <fcntl.h>
#include <netdb.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <system_error>

#include "core/base/ask_child.h"
#include "core/base/fs.h"
#include "core/base/process.h"
#include "core/runner/doctor/doctor.h"

namespace dagger::runner {
namespace {

constexpr std::chrono::seconds patience(5);

std::vector<std::string> words(const std::string& text, char between = ' ') {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, between);)
    if (!word.empty()) all.push_back(word);
  return all;
}

// Of a file of /proc or /sys; empty where there is none.
std::string contents(const std::string& path) {
  try {
    return read_file(path);
  } catch (const Error&) {
    return {};
  }
}

std::string last_word(const std::string& line) {
  return line.substr(std::min(line.find_last_of("\t ") + 1, line.size()));
}

struct Mount {
  std::string point, type;
  std::vector<std::string> options;  // of the file system
};

// "36 35 98:0 /root /point rw shared:1 - type source options"
std::vector<Mount> mounts() {
  std::vector<Mount> all;
  for (const auto& line : words(contents("/proc/self/mountinfo"), '\n')) {
    const auto dash = line.find(" - ");
    const auto first = words(line.substr(0, dash));
    const auto second = dash == std::string::npos ? first : words(line.substr(dash + 3));
    if (first.size() >= 5 && second.size() >= 3) all.push_back({first[4], second[0], words(second[2], ',')});
  }
  return all;
}

// ---- kernel ----

void look_at_kernel(HostFacts& f) {
  utsname name{};
  ::uname(&name);
  f.kernel = name.release;
  f.uid = ::geteuid();
  for (const auto& line : words(contents("/proc/filesystems"), '\n')) f.file_systems.push_back(last_word(line));
  f.fuse_device = static_cast<bool>(UniqueFd(::open("/dev/fuse", O_RDWR | O_CLOEXEC)));
  for (const char* kind : {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"})
    if (!exists(std::string("/proc/self/ns/") + kind)) f.missing_namespaces.emplace_back(kind);
}

void look_at_cgroups(HostFacts& f) {
  const std::vector<std::string> known = {"cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb"};
  for (const auto& mount : mounts()) {
    if (mount.type == "cgroup2") {
      f.cgroup2 = true;
      auto text = contents(mount.point + "/cgroup.controllers");
      std::replace(text.begin(), text.end(), '\n', ' ');
      f.controllers = words(text);
    }
    if (mount.type != "cgroup") continue;
    for (const auto& option : mount.options)
      if (std::find(known.begin(), known.end(), option) != known.end()) f.cgroup1.push_back(option);
  }
}

// ---- programs ----

std::string first_line_of(const std::string& program, const char* flag) {
  const auto said = ask_child(patience, [&] {
    const UniqueFd output(::memfd_create("output", MFD_CLOEXEC));
    SpawnRequest request;
    request.argv = {program, flag};
    request.stdio[1] = output.get();
    Spawner spawner;
    spawner.spawn(request).wait();
    ::lseek(output.get(), 0, SEEK_SET);
    const auto text = read_all(output.get(), 1 << 16);
    return text.substr(0, text.find('\n'));
  });
  return said.text;
}

Program look_for(const std::string& name, const std::string& path, bool ask) {
  Program program{name, find_program(name, path), {}};
  if (!program.path.empty() && ask) program.version = first_line_of(program.path, "--version");
  return program;
}

// ---- connections ----

std::string connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return "the path is too long";
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
             ? ""
             : std::generic_category().message(errno);
}

// The first of the name's addresses that answers. Hangs as long as resolver and network do.
std::string connect_tcp(const std::string& host, const std::string& port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return std::string("the name cannot be resolved: ") + ::gai_strerror(error);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, ::freeaddrinfo);
  std::string problem;
  for (const auto* a = found; a != nullptr; a = a->ai_next) {
    const UniqueFd fd(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (fd && ::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) return {};
    problem = std::generic_category().message(errno);
  }
  return problem;
}

Reach reach_tcp(const std::string& name, std::string host, std::string port) {
  Reach reach{name, host + ":" + port, {}};
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto said = ask_child(patience, [&] { return connect_tcp(host, port); });
  reach.problem = said.end == ChildAnswer::End::answered ? said.text : "no answer within 5 s";
  return reach;
}

// "host", "host:port", "[::1]:port", with or without "http://".
Reach reach(const std::string& name, std::string address, std::string port) {
  if (const auto scheme = address.find("://"); scheme != std::string::npos) {
    port = address.substr(0, scheme) == "http" ? "80" : port;
    address = address.substr(scheme + 3);
  }
  address = address.substr(0, address.find('/'));
  if (const auto colon = address.rfind(':'); colon != std::string::npos && address.back() != ']') {
    port = address.substr(colon + 1);
    address.resize(colon);
  }
  return reach_tcp(name, address, port);
}

void look_at_registries(HostFacts& f, const Config& config) {
  for (const auto& [host, registry] : config.registries) {
    const std::string port = registry.plain_http.value_or(false) ? "80" : "443";
    f.registries.push_back(reach(host, host == "docker.io" ? "registry-1.docker.io" : host, port));
    for (const auto& mirror : registry.mirrors) f.registries.push_back(reach(host + " by mirror", mirror, "443"));
  }
}

void look_at_runner(HostFacts& f, const Config& config) {
  const std::string unix_scheme = "unix://", &host = config.runner_host;
  if (host.empty()) return;
  f.runner = host.rfind(unix_scheme, 0) == 0 ? Reach{host, host, connect_unix(host.substr(unix_scheme.size()))}
                                             : reach(host, host, "");
  f.runner->address = host;
}

// ---- the state directory ----

// The pid of who holds the lock of the file: "1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF".
std::optional<int> lock_owner(const std::string& file) {
  struct stat st{};
  if (::stat(file.c_str(), &st) != 0) return std::nullopt;
  char place[64];
  std::snprintf(place, sizeof place, "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
                static_cast<unsigned long long>(st.st_ino));
  for (const auto& line : words(contents("/proc/locks"), '\n')) {
    const auto parts = words(line);
    if (parts.size() > 5 && parts[1] == "FLOCK" && parts[5] == place) return std::max(0, std::atoi(parts[4].c_str()));
  }
  return std::nullopt;
}

// The mount that a path is on.
std::string file_system_of(const std::string& path) {
  std::string best, type;
  for (const auto& mount : mounts()) {
    const bool above = mount.point == "/" || path == mount.point || path.rfind(mount.point + "/", 0) == 0;
    if (above && mount.point.size() >= best.size()) best = mount.point, type = mount.type;
  }
  return type;
}

StateFacts look_at_state(const std::string& dir) {
  StateFacts s;
  s.dir = dir;
  struct stat st{};
  if (::stat(dir.c_str(), &st) == 0) {
    s.exists = true;
    s.owner = st.st_uid;
    s.mode = st.st_mode & 07777;
    if (const auto text = contents(dir + "/version"); !text.empty()) s.format = std::atoi(text.c_str());
    s.lock_owner = lock_owner(dir + "/lock");
  }
  auto there = clean_path(dir);
  while (there != "/" && !exists(there)) there = parent_path(there);
  s.writable = ::access(there.c_str(), W_OK | X_OK) == 0;
  s.file_system = file_system_of(there);
  struct statvfs fs{};
  if (::statvfs(there.c_str(), &fs) != 0) return s;
  s.free_bytes = fs.f_bavail * fs.f_frsize;
  s.total_bytes = fs.f_blocks * fs.f_frsize;
  s.free_files = fs.f_favail;
  s.total_files = fs.f_files;
  return s;
}

void look_at_plugins(HostFacts& f, const Config& config, const std::string& install_dir) {
  for (const auto& use : survey_plugins(config, install_dir, true))
    f.plugins.push_back(
        {std::string(use.kind), use.choice->use, use.choice->origin, use.problem, use.rank, use.of, use.taken});
}

}  // namespace

HostFacts look_at_host(const ConfigContext& context) {
  HostFacts f;
  Config config;
  try {
    auto read = read_config(context);
    config = std::move(read.config);
    f.config_problems = std::move(read.problems);
  } catch (const Error& e) {
    f.config_problems = {e.what()};
    config = parse_config(std::nullopt, "", context);  // the machine is looked at all the same
  }
  f.config_file = config.file;
  look_at_kernel(f);
  look_at_cgroups(f);
  const auto path = context.env("PATH").value_or("") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const char* name : {"crun", "runc"}) f.runtimes.push_back(look_for(name, path, true));
  for (const char* name : {"docker", "podman"}) f.other_engines.push_back(look_for(name, path, false));
  f.docker_socket = connect_unix("/run/docker.sock").empty();
  f.podman_socket = connect_unix("/run/podman/podman.sock").empty();
  f.state = look_at_state(config.state_dir);
  look_at_plugins(f, config, context.install_dir);
  look_at_registries(f, config);
  look_at_runner(f, config);
  return f;
}

}  // namespace dagger::runner
