// cli/commands/with_session.h — what run, session and query share: a session of their own, or the one they are started
// in.
//
// With DAGGER_SESSION_PORT set there is a session already, and it is used. Else: configuration -> secret plugins ->
// runner -> session. The body runs as a task of the loop, with the session ready; everything is stopped when it
// returns.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands/commands.h"
#include "core/base/cancel.h"
#include "core/base/loop.h"
#include "core/base/pool.h"
#include "core/base/process.h"
#include "core/base/task.h"

namespace dagger::cli {

struct SessionSetup {
  std::vector<std::pair<std::string, std::string>> labels;
  std::string version;  // of the API the client was made for; "" when nobody said
};

struct Signal {
  int number = 0;
  bool from_terminal = false;  // then the whole process group got it
};

struct SessionContext {
  Loop& loop;
  Pool& pool;
  Spawner& spawner;
  std::uint16_t port = 0;
  std::string token;
  CancelToken stop;                          // by a signal
  Function<void(const Signal&)>& on_signal;  // the body may want to know each
};

// start: called on the control thread; the exit code is what its task returns. A signal before the session is ready
// ends it with interrupted. Throws what keeps a session from starting.
int with_session(const Globals& globals, SessionSetup setup, int interrupted,
                 Task<int> (*body)(SessionContext& context, void* argument), void* argument);

std::vector<std::pair<std::string, std::string>> process_environment();

}  // namespace dagger::cli
