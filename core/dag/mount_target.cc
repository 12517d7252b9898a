#include "core/dag/mount_target.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "dagger/plugin/error.h"

namespace dagger::dag {
namespace {

constexpr std::string_view replaceable_in_proc[] = {"cpuinfo",  "diskstats", "loadavg", "meminfo",
                                                    "slabinfo", "stat",      "swaps",   "uptime"};
constexpr std::string_view taken_in_dev[] = {"console", "core",   "fd",    "full",   "null", "ptmx",    "pts",
                                             "random",  "stderr", "stdin", "stdout", "tty",  "urandom", "zero"};

[[noreturn]] void refuse(std::string_view target, std::string_view directory, const char* instead) {
  throw Error(Code::invalid_argument, "nothing can be mounted on \"" + std::string(target) +
                                          "\": every container has its own " + std::string(directory) + "; " + instead);
}

// "/proc/a/b" in "/proc" is "a/b", and "/proc" is "".
std::optional<std::string_view> below(std::string_view target, std::string_view directory) {
  if (target == directory) return "";
  if (!target.starts_with(directory) || target[directory.size()] != '/') return std::nullopt;
  return target.substr(directory.size() + 1);
}

bool holds(const auto& names, std::string_view name) { return std::ranges::find(names, name) != std::end(names); }

}  // namespace

void check_mount_target(std::string_view target) {
  if (const auto path = below(target, "/proc"); path && !holds(replaceable_in_proc, *path))
    refuse(target, "/proc",
           "only /proc/cpuinfo, diskstats, loadavg, meminfo, slabinfo, stat, swaps and uptime can be replaced");
  if (const auto path = below(target, "/sys"); path && !path->starts_with("fs/"))
    refuse(target, "/sys", "only what lies below /sys/fs can be replaced");
  if (const auto path = below(target, "/dev");
      path && (path->empty() || holds(taken_in_dev, path->substr(0, path->find('/')))))
    refuse(target, "/dev", "choose a place of its own for the mount, such as /dev/shm or /mnt");
}

}  // namespace dagger::dag
