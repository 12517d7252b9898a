#include "core/plugin/host_services.h"

#include <algorithm>

#include "core/base/fs.h"

namespace dagger::plugin {

Level to_level(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return Level::trace;
    case LogLevel::debug:
      return Level::debug;
    case LogLevel::info:
      return Level::info;
    case LogLevel::warn:
      return Level::warn;
    case LogLevel::error:
      return Level::error;
  }
  return Level::error;
}

HostServices::HostServices(std::string state_dir, std::string install_dir, WriteLine write, Spawner& spawner)
    : state_dir_(std::move(state_dir)),
      install_dir_(std::move(install_dir)),
      write_(std::move(write)),
      spawner_(spawner) {}

// Where it cannot be made, what the plugin wants to do in it fails and names it.
std::string_view HostServices::state_dir() const noexcept {
  std::call_once(state_dir_made_, [this] {
    try {
      make_dirs(state_dir_, 0700);
    } catch (const std::exception& e) {
      write(LogLevel::error, e.what());
    }
  });
  return state_dir_;
}

void HostServices::log(LogLevel level, std::string_view message) noexcept { write(level, message); }

void HostServices::write(LogLevel level, std::string_view message) const noexcept {
  try {
    write_(level, message);
  } catch (...) {  // out of memory: a log never fails its caller
  }
}

UniqueFd HostServices::spawn(const Spawn& request) {
  if (request.argv.empty() || request.argv[0].empty() || request.argv[0][0] != '/')
    throw Error(Code::invalid_argument, "spawn: the program must be an absolute path");
  SpawnRequest r;
  r.argv = request.argv, r.env = request.env, r.keep = request.keep, r.clone_flags = request.clone_flags;
  r.new_session = true;
  std::copy(std::begin(request.stdio), std::end(request.stdio), std::begin(r.stdio));
  return spawner_.spawn(r).release();
}

}  // namespace dagger::plugin
