// plugins/common/oci-runtime/spawner.h — the executor's end of dagger-exec-helper.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dagger/plugin/plugin.h"

namespace dagger::oci {

// One helper process, started on first use and again if it has died; every exec that it started ends with it.
// [thread-safe] [blocking]
class Spawner {
 public:
  // groups: cgroup.procs files that the helper, and so every exec, joins.
  Spawner(plugin::Host& host, std::string helper, std::string directory, std::vector<UniqueFd> groups)
      : host_(host), helper_(std::move(helper)), directory_(std::move(directory)), groups_(std::move(groups)) {}
  ~Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  // Starts the process of an exec with these fds as 0, 1, 2, ... (-1: /dev/null). Returns its pidfd; it is no child of
  // the caller: poll it, do not wait for it. Throws invalid_argument when there are too many, unavailable.
  UniqueFd spawn(const std::vector<int>& fds);

 private:
  void start();
  void stop() noexcept;
  plugin::Host& host_;
  const std::string helper_, directory_;
  const std::vector<UniqueFd> groups_;
  std::mutex mutex_;
  UniqueFd socket_, process_;
};

}  // namespace dagger::oci
