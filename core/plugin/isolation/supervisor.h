// core/plugin/isolation/supervisor.h — keeps one isolated plugin running: its process is started again at the call
// after the one that ended it, 5 times a minute at most.
//
// Calls and objects hold the process that they began with, so a restart disturbs nobody. [thread-safe]
#pragma once
#include <chrono>
#include <deque>

#include "core/plugin/isolation/process.h"

namespace dagger::plugin::isolation {

// When the starts of the last minute allow another one. Pure.
class RestartLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t restarts = 5;
  static constexpr std::chrono::seconds span{60};

  // Nothing, and the restart is counted; or how long to wait.
  std::optional<std::chrono::seconds> try_restart(Time now);

 private:
  std::deque<Time> restarts_;
};

class Supervisor {
 public:
  // Starts the process; throws what it throws. spawner and logs outlive this.
  Supervisor(Launch launch, Spawner& spawner, LogReader& logs);

  // The process to call. Throws plugin_fault.
  std::shared_ptr<Process> process();
  const Started& started() const noexcept { return started_; }  // of the first process

 private:
  const Launch launch_;
  Spawner& spawner_;
  LogReader& logs_;
  std::mutex mutex_;
  RestartLimit limit_;
  std::shared_ptr<Process> process_;
  const Started started_;
};

}  // namespace dagger::plugin::isolation
