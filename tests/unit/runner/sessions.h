// tests/unit/runner/sessions.h — sessions that are connected to one runner by real links, all on the test's thread.
#pragma once
#include "core/runner/connected_session.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_store.h"
#include "tests/unit/link/fixture.h"

namespace dagger::runner {

class ConnectedSessions : public link::LinkTest {
 protected:
  ConnectedSessions() {
    solver::Backends backends{executor_, {}, {}, {}};
    backends.network = [this](const std::string&) -> plugin::Network& { return network_; };
    solver_ = std::make_unique<solver::Solver>(loop_, store_, std::move(backends),
                                               solver::Limits{2, 2, std::chrono::milliseconds(50)}, log_);
  }
  ~ConnectedSessions() override {
    for (const auto& session : sessions_) session->close();
    run(solver_->close());
    sessions_.clear();
    solver_.reset();
  }

  // The session's end of a new link.
  std::unique_ptr<link::Peer> session(Function<void(link::Peer&)> serve = {}) {
    connect_pair();
    sessions_.push_back(ConnectedSession::start(std::move(server_), *solver_, info_,
                                                "session-" + std::to_string(sessions_.size()), [this] { ++gone_; }));
    auto peer = std::move(client_);
    if (serve) serve(*peer);
    peer->start();
    return peer;
  }
  // The answer, packed.
  template <class Request>
  std::string ask(link::Peer& peer, const char* what, Request request) {
    return run(peer.call(what, cbor::pack(request), {}));
  }

  testing::FakeExecutor executor_;
  testing::FakeNetwork network_;
  testing::MemoryStore store_;
  RunnerInfo info_{"1.0", "test", "linux/amd64"};
  std::unique_ptr<solver::Solver> solver_;
  std::vector<std::shared_ptr<ConnectedSession>> sessions_;
  int gone_ = 0;  // sessions whose link has closed
};

}  // namespace dagger::runner
