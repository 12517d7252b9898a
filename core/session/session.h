// core/session/session.h — one session: a client's API on a loopback port, over one link to a runner. This is where the
// parts of core/session are put together.
//
// Control thread. Owns the link. What is passed by reference outlives it. stop() before destroying.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/pool.h"
#include "core/base/process.h"
#include "core/link/messages/messages.h"
#include "core/link/peer.h"
#include "core/plugin/registry.h"
#include "core/session/client.h"

namespace dagger::session {

struct SessionOptions {
  Client client;
  std::string token;       // "" makes a random one
  std::uint16_t port = 0;  // 0: any
  unsigned walk_threads = 2;
};

class Session {
 public:
  // files: for host directories, exports and secrets; requests: for parsing. peer: connected, not started. on_events
  // gets link::Events as they came, packed: there may be many, and unpacking them is no work for the control thread.
  Session(Loop& loop, Pool& files, Pool& requests, Spawner& spawner, const plugin::Registry& plugins,
          std::unique_ptr<link::Peer> peer, SessionOptions options, Function<void(std::string)> on_events);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Asks the runner who it is, and listens. Queries can be answered when it returns the port.
  Task<std::uint16_t> start(CancelToken cancel);
  // Cancels what runs, closes listener and link, and waits until nothing is left.
  Task<void> stop();
  const std::string& token() const;
  const link::Info& engine() const;  // after start()

 private:
  class State;
  std::unique_ptr<State> state_;
};

std::string random_token();

}  // namespace dagger::session
