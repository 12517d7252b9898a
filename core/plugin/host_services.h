// core/plugin/host_services.h — the host's side of one plugin object: log, directories, children.
//
// One per plugin object, made before it and destroyed after it. What it writes to and the Spawner outlive every plugin.
// [thread-safe]
#pragma once
#include <functional>
#include <mutex>
#include <string>

#include "core/base/log.h"
#include "core/base/process.h"
#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

// A level that is none (an int from a plugin can be anything) is an error.
Level to_level(LogLevel level);

class HostServices final : public Host {
 public:
  using WriteLine = std::function<void(LogLevel, std::string_view)>;
  // state_dir is made when the plugin first asks for it: most need none, and not every process may make one.
  HostServices(std::string state_dir, std::string install_dir, WriteLine write, Spawner& spawner);

  void log(LogLevel level, std::string_view message) noexcept override;
  std::string_view state_dir() const noexcept override;
  std::string_view install_dir() const noexcept override { return install_dir_; }
  UniqueFd spawn(const Spawn& request) override;

 private:
  void write(LogLevel level, std::string_view message) const noexcept;

  std::string state_dir_, install_dir_;
  mutable std::once_flag state_dir_made_;
  WriteLine write_;
  Spawner& spawner_;
};

}  // namespace dagger::plugin
