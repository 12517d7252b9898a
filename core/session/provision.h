// core/session/provision.h — finds a runner for a session, or starts one.
//
// $_EXPERIMENTAL_DAGGER_RUNNER_HOST or the configuration names one (unix://, tcp://); else a local runner is started on
// demand and shared by all sessions of this user. Two sessions that start at the same moment share one (a lock file); a
// newer tool replaces an older runner, unless others use that: then it does so too, and the older one ends with the
// last of them. Control thread; files and processes on the pool. Errors: unavailable with the last lines of the
// runner's log, permission_denied for a socket directory that is not ours.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/pool.h"
#include "core/base/process.h"
#include "core/link/peer.h"
#include "core/session/client.h"

namespace dagger::session {

struct ProvisionOptions {
  std::string program;      // of this tool: what is run as "runner"
  std::string version;      // of this tool
  std::string runner_host;  // of the configuration; "" when it names none
  std::string log_file;     // of a runner that is started
  std::vector<std::string> runner_args;
  void (*check_can_start)() = nullptr;  // throws where no runner can be started, before anything is made
  link::PeerOptions peer;
};

// Connected, not started.
Task<std::unique_ptr<link::Peer>> provide_runner(Loop& loop, Pool& pool, Spawner& spawner, link::Transport& transport,
                                                 const Client& client, ProvisionOptions options, CancelToken cancel);

// $XDG_RUNTIME_DIR/dagger, else /run/dagger-UID, else /tmp/dagger-UID; made (0700) and checked. [blocking]
std::string socket_directory(const Client& client, unsigned uid);

}  // namespace dagger::session
