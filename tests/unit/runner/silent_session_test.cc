// A session that is broken or hostile, and what the others notice of it.
#include "core/runner/connected_session.h"
#include "core/store/manifest.h"
#include "tests/support/fake_executor.h"
#include "tests/support/fake_store.h"
#include "tests/unit/link/fixture.h"

namespace dagger::runner {
namespace {

namespace method = link::method;

class ConnectedSessions : public link::LinkTest {
 protected:
  ConnectedSessions() {
    solver::Backends backends{executor_, {}, {}, {}};
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
                                                "session-" + std::to_string(sessions_.size()), [] {}));
    auto peer = std::move(client_);
    if (serve) serve(*peer);
    peer->start();
    return peer;
  }
  template <class Request>
  std::string ask(link::Peer& peer, const char* what, Request request) {
    return run(peer.call(what, cbor::pack(request), {}));
  }
  static Task<void> sync(link::Peer& peer, std::string place, std::vector<Code>& failures) {
    try {
      co_await peer.call(method::sync_local,
                         cbor::pack(link::SyncRequest{Digest::of(place), place, "host directory x"}), {});
    } catch (const Error& e) {
      failures.push_back(e.code());
    }
  }

  testing::FakeExecutor executor_;
  testing::MemoryStore store_;
  RunnerInfo info_{"1.0", "test", "linux/amd64"};
  std::unique_ptr<solver::Solver> solver_;
  std::vector<std::shared_ptr<ConnectedSession>> sessions_;
};

TEST_F(ConnectedSessions, OfASessionThatNeverSendsItsDirectoriesHinderNobodyElse) {
  std::vector<std::shared_ptr<link::Stream>> waiting;
  auto silent = session([&](link::Peer& peer) {
    peer.serve_stream(method::local_nodes,
                      [&](std::string, std::shared_ptr<link::Stream> s, CancelToken) { waiting.push_back(s); });
  });
  std::vector<Code> failures;
  TaskGroup syncs(loop_);
  for (int i = 0; i < 20; ++i) syncs.spawn(sync(*silent, std::to_string(i), failures));
  until([&] { return waiting.size() == 4; });  // the rest waits for these

  // Another one builds, looks at the result, and brings a directory of its own.
  const std::string nothing = store::encode(store::Node{});
  auto other = session([&](link::Peer& peer) {
    peer.serve_stream(method::local_nodes, [&](std::string, std::shared_ptr<link::Stream> s, CancelToken) {
      s->write(std::string(7, '\0') + static_cast<char>(nothing.size()) + nothing);
      s->finish();
    });
  });
  const dag::Op scratch{dag::Scratch{}, {}};
  const dag::Op write{dag::Write{"/f", "text", "", 0644}, {{dag::digest(scratch), ""}}};
  ask(*other, method::put_ops, link::PutOps{{dag::encode(scratch), dag::encode(write)}});
  const auto listed = ask(*other, method::entries, link::PathRequest{{dag::digest(write), ""}, "/", "", true, 0, 0});
  EXPECT_EQ(cbor::unpack<link::Entries>(listed).entries.at(0).name, "f");
  ask(*other, method::sync_local, link::SyncRequest{Digest::of(nothing), "elsewhere", "host directory y"});

  silent->close();
  until([&] { return failures.size() == 20; });
  for (const auto code : failures) EXPECT_EQ(code, Code::unavailable);
  waiting.clear();
  run(syncs.join());
}

TEST_F(ConnectedSessions, RefuseADirectoryWhoseDescriptionIsEndless) {
  auto liar = session([](link::Peer& peer) {
    peer.serve_stream(method::local_nodes, [](std::string, std::shared_ptr<link::Stream> s, CancelToken) {
      s->write(std::string(8, '\x7f'));  // so long
      s->finish();
    });
  });
  const auto refused = failure(
      liar->call(method::sync_local, cbor::pack(link::SyncRequest{Digest::of("x"), "here", "host directory x"}), {}));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code(), Code::invalid_argument);
}

}  // namespace
}  // namespace dagger::runner
