// core/solver/client.h — what the solver needs from one connected session. Implemented by the runner over the link, by
// fakes in tests. Control thread only. Stays alive until Solver::leave() has returned for it.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "core/base/cancel.h"
#include "core/base/task.h"
#include "core/dag/graph.h"
#include "core/link/messages/messages.h"
#include "dagger/plugin/plugin.h"

namespace dagger::solver {

class Client {
 public:
  virtual ~Client() = default;
  // The ops this client has put, under its trust scope.
  virtual const std::shared_ptr<dag::Graph>& graph() const = 0;
  virtual const std::string& scope() const = 0;
  virtual const std::string& name() const = 0;  // unique among the connected clients
  // The exec inside which this client runs (a nested session), or "". Its slot is lent while this client waits.
  virtual const std::string& inside_exec() const = 0;

  virtual Task<std::string> secret(std::string name, CancelToken cancel) = 0;
  virtual Task<std::optional<plugin::Credentials>> credentials(std::string realm, CancelToken cancel) = 0;
  // A connected socket that forwards to the client's socket object.
  virtual Task<UniqueFd> open_socket(std::string id, CancelToken cancel) = 0;
  virtual void event(const link::Event& event) = 0;  // as it happens: the client knows the time
  // True the first time it is asked for an op: hits are shown once to a client.
  virtual bool first_mention(const Digest& op) = 0;
};

}  // namespace dagger::solver
