// core/plugin/host_services.h — the host's side of one plugin object: log, directories, children.
//
// One per plugin object, made before it and destroyed after it. Log and Spawner belong to main and outlive every
// plugin. [thread-safe]
#pragma once
#include <string>

#include "core/base/log.h"
#include "core/base/process.h"
#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

class HostServices final : public Host {
 public:
  // label: "source plugin 'git'". state_dir is made by the caller.
  HostServices(std::string label, std::string state_dir, std::string install_dir, Log& log, Spawner& spawner);

  void log(LogLevel level, std::string_view message) noexcept override;
  std::string_view state_dir() const noexcept override { return state_dir_; }
  std::string_view install_dir() const noexcept override { return install_dir_; }
  UniqueFd spawn(const Spawn& request) override;

 private:
  std::string label_, state_dir_, install_dir_;
  Log& log_;
  Spawner& spawner_;
};

}  // namespace dagger::plugin
