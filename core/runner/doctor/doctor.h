// core/runner/doctor/doctor.h — what this machine offers, and whether a runner can work on it (`dagger doctor`).
//
// look_at_host() only reads and tries; diagnose() is pure, so that every judgement is tested with facts that are made
// up.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/runner/survey.h"

namespace dagger::runner {

struct Program {
  std::string name, path, version;  // path: empty where it is not installed
};

struct Reach {
  std::string name, address;  // "registry.lab:5000"
  std::string problem;        // empty: it accepts connections
};

struct StateFacts {
  std::string dir;
  bool exists = false, writable = false;  // writable: or what has to be made for it
  unsigned owner = 0, mode = 0700;
  std::optional<int> format;      // that it was made with
  std::optional<int> lock_owner;  // pid of the runner that uses it; 0: one in another pid namespace
  std::string file_system;        // "ext4"
  std::uint64_t free_bytes = 0, total_bytes = 0, free_files = 0, total_files = 0;
};

struct HostFacts {
  unsigned uid = 0;
  std::string kernel;                           // "6.1.0-18-amd64"
  std::vector<std::string> file_systems;        // that the kernel knows now
  bool fuse_device = false;                     // /dev/fuse can be opened
  std::vector<std::string> missing_namespaces;  // "pid"
  bool cgroup2 = false;                         // a unified hierarchy is mounted
  std::vector<std::string> cgroup1;             // controllers with a hierarchy of their own
  std::vector<std::string> controllers;         // of the unified one
  std::vector<Program> runtimes, other_engines;
  bool docker_socket = false, podman_socket = false;
  StateFacts state;
  std::vector<Reach> registries;
  std::optional<Reach> runner;  // that clients are sent to, instead of a local one

  std::vector<std::string> config_problems;
  std::string config_file;
  // A plugin of the configuration.
  struct Plugin {
    std::string kind, name, text, problem;
    unsigned rank = 1, of = 1;
    bool taken = false;
  };
  std::vector<Plugin> plugins;
};

struct Finding {
  enum Level { ok, warn, fail } level;  // fail: a runner cannot start or cannot run containers
  std::string subject, text, remedy;    // remedy: empty for ok

  std::string line() const;  // "warn  disk: 1.2 GiB free; delete ..."
};

// [blocking] While the process has one thread.
HostFacts look_at_host(const ConfigContext& context);

std::vector<Finding> diagnose(const HostFacts& facts);

}  // namespace dagger::runner
