// A session that is broken or hostile, and what the others notice of it.
#include "core/store/manifest.h"
#include "tests/unit/runner/sessions.h"

namespace dagger::runner {
namespace {

namespace method = link::method;

Task<void> sync(link::Peer& peer, std::string place, std::vector<Code>& failures) {
  try {
    co_await peer.call(method::sync_local, cbor::pack(link::SyncRequest{Digest::of(place), place, "host directory x"}),
                       {});
  } catch (const Error& e) {
    failures.push_back(e.code());
  }
}

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
