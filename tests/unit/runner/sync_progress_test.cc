// What a session sees of its directories on their way in.
#include "core/store/manifest.h"
#include "tests/unit/runner/sessions.h"

namespace dagger::runner {
namespace {

namespace method = link::method;

// What is sent for one digest.
std::string sent(const std::string& bytes) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(bytes.size() >> shift);
  return out + bytes;
}

class SyncProgress : public ConnectedSessions {
 protected:
  void add(std::string name, const std::string& content) {
    contents_[Digest::of(content)] = content;
    node_.entries.push_back(
        {.name = std::move(name), .mode = 0644, .size = content.size(), .content = Digest::of(content)});
  }
  std::unique_ptr<link::Peer> client() {
    return session([this](link::Peer& peer) {
      peer.serve_stream(method::local_nodes, [this](std::string, std::shared_ptr<link::Stream> s, CancelToken) {
        s->write(sent(store::encode(node_)));
        s->finish();
      });
      peer.serve_stream(method::local_contents,
                        [this](std::string packed, std::shared_ptr<link::Stream> s, CancelToken) {
                          for (const auto& digest : cbor::unpack<link::LocalRequest>(packed).digests)
                            s->write(sent(contents_.at(digest)));
                          s->finish();
                        });
      peer.serve_notify(method::events, [this](std::string packed) {
        for (auto& e : cbor::unpack<link::Events>(packed).events) events_.push_back(std::move(e));
      });
    });
  }
  link::SyncRequest request() const { return {store::exact_digest(node_), "place", "host directory /src"}; }
  // An answer comes after the news of what led to it.
  void expect_finished() const {
    ASSERT_FALSE(events_.empty());
    EXPECT_EQ(events_.back().kind, link::EventKind::finished);
  }

  store::Node node_;
  std::map<Digest, std::string> contents_;
  std::vector<link::Event> events_;
};

TEST_F(SyncProgress, NamesTheDirectoryAndCountsFilesAndBytes) {
  add("a", std::string(600'000, 'a'));
  add("b", std::string(600'000, 'a'));  // the same content travels once
  add("c", "text");
  const auto peer = client();
  ask(*peer, method::sync_local, request());
  expect_finished();
  ASSERT_GE(events_.size(), 4U);
  EXPECT_EQ(events_.front().kind, link::EventKind::started);
  EXPECT_EQ(events_.front().name, "host directory /src");
  std::int64_t done = 0;
  for (const auto& e : events_) {
    EXPECT_EQ(e.op, dag::digest({dag::Local{request().tree}, {}}));
    EXPECT_GT(e.time_us, 0);
    if (e.kind != link::EventKind::progress) continue;
    EXPECT_EQ(e.text, "2 files");
    EXPECT_EQ(e.total, 600'004);
    EXPECT_GE(e.done, done);
    done = e.done;
  }
  EXPECT_EQ(done, 600'004);
  EXPECT_EQ(events_.back().name, "host directory /src");
  EXPECT_EQ(events_.back().outcome, link::Outcome::done);
}

TEST_F(SyncProgress, OfWhatTheRunnerHasIsAHitShownOnceToASession) {
  add("a", "text");
  const auto first = client();
  ask(*first, method::sync_local, request());
  expect_finished();
  events_.clear();
  ask(*first, method::sync_local, request());
  const auto other = client();
  ask(*other, method::sync_local, request());
  ask(*other, method::sync_local, request());
  expect_finished();
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_EQ(events_[0].outcome, link::Outcome::cached);
  EXPECT_EQ(events_[0].name, "host directory /src");
}

TEST_F(SyncProgress, EndsWithTheErrorOfAFileThatChanged) {
  add("a", "text");
  contents_[Digest::of("text")] = "changed";
  const auto peer = client();
  ASSERT_TRUE(failure(peer->call(method::sync_local, cbor::pack(request()), {})));
  expect_finished();
  EXPECT_EQ(events_.back().outcome, link::Outcome::failed);
  EXPECT_TRUE(events_.back().text.starts_with("host file a changed while it was being read")) << events_.back().text;
}

}  // namespace
}  // namespace dagger::runner
