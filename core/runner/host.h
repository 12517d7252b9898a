// core/runner/host.h — the runner: configuration -> plugins -> store -> solver -> listeners. This file composes; it
// decides nothing.
//
// Made and started on the main thread before the loop runs; then the loop's thread owns it.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/process.h"
#include "core/link/peer.h"
#include "core/plugin/registry.h"
#include "core/runner/config/config.h"
#include "core/runner/connected_session.h"
#include "core/solver/solver.h"
#include "core/store/store.h"

namespace dagger::runner {

struct HostOptions {
  std::string version, install_dir;
  bool on_demand = false;  // ends itself after config.idle_timeout without sessions
};

class Host {
 public:
  // Loads plugins, opens the store. Throws the first problem; leaves nothing behind. [blocking]
  Host(Loop& loop, Log& log, Config config, HostOptions options);
  ~Host();

  // Starts to listen. Throws unavailable (address in use).
  void listen();
  // The addresses, with real ports.
  std::vector<std::string> addresses() const;
  // Ends sessions and work, then stops the loop. Idempotent.
  void stop(std::string reason);

 private:
  // A newer tool asks: stops when the last session has gone, and takes no new ones if there is none now.
  Task<std::string> drain();
  void accept(std::unique_ptr<link::Peer> peer);
  void rest();  // after a session has gone: idle, drained?
  Task<void> shut_down();

  Loop& loop_;
  Log& log_;
  const Config config_;
  const HostOptions options_;
  RunnerInfo info_;
  Spawner spawner_;
  plugin::Registry plugins_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<solver::Solver> solver_;
  link::Transport transport_;
  std::vector<std::unique_ptr<link::Transport::Listener>> listeners_;
  std::map<std::uint64_t, std::shared_ptr<ConnectedSession>> sessions_;  // whose links are open
  std::uint64_t next_session_ = 1;
  bool draining_ = false, stopping_ = false;
  Loop::Handle idle_;
  TaskGroup stop_;
};

// Refuses a start that cannot work, before anything is created: without root, for now.
void check_privileges();
std::string host_platform();  // "linux/amd64"

}  // namespace dagger::runner
