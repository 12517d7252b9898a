#include <gtest/gtest.h>

#include "core/link/address.h"
#include "core/link/handshake.h"
#include "core/link/mux.h"

namespace dagger::link {
namespace {

std::string frame(Type type, ChannelId channel, std::string_view payload, bool more = false) {
  const auto head = encode(FrameHeader{type, more, static_cast<std::uint32_t>(payload.size()), channel});
  return std::string(head.data(), head.size()) + std::string(payload);
}

std::vector<FrameHeader> frames_of(const Batch& batch) {
  std::vector<FrameHeader> all;
  for (const auto& p : batch.pieces) all.push_back(p.header);
  return all;
}

// ---- frames

TEST(Frames, AreFoundHoweverTheBytesAreCut) {
  const std::string bytes = frame(Type::ping, 0, "") + frame(Type::data, 7, "abc") + frame(Type::finish, 7, "") +
                            frame(Type::data, 9, std::string(300, 'x'));
  for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
    FrameReader reader;
    std::string seen;
    for (std::size_t at = 0; at < bytes.size(); at += cut)
      reader.feed(std::string_view(bytes).substr(at, cut),
                  [&](const FrameHeader& h, std::string_view p) { seen += frame(h.type, h.channel, p, h.more); });
    ASSERT_EQ(seen, bytes) << cut;
    EXPECT_TRUE(reader.between_frames());
  }
}

TEST(Frames, OfAnUnknownTypeOrWithReservedBitsAreRefused) {
  for (const std::size_t at : {0U, 1U, 2U, 3U}) {
    std::string bytes = frame(Type::ping, 0, "");
    bytes[at] = '\x80';
    FrameReader reader;
    EXPECT_THROW(reader.feed(bytes, [](const FrameHeader&, std::string_view) {}), Error) << at;
  }
}

// ---- whose turn it is

TEST(Outbox, SendsASmallCallBeforeTheRestOfALargeOne) {
  Outbox outbox;
  outbox.push(1, Type::call, std::string(3 * sent_payload, 'x'));
  outbox.push(3, Type::call, "small");
  Batch batch;
  outbox.take(batch, 1 << 20);
  const auto frames = frames_of(batch);
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_EQ(frames[0].channel, 1U);
  EXPECT_TRUE(frames[0].more);
  EXPECT_EQ(frames[1].channel, 3U);
  EXPECT_EQ(frames[2].type, Type::more);
  EXPECT_FALSE(frames[3].more);
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.queued(), 0U);
}

TEST(Outbox, LetsStreamsTakeTurns) {
  Outbox outbox;
  for (const ChannelId id : {1, 3, 5}) outbox.push(id, Type::data, std::string(4 * sent_payload, 'x'));
  Batch batch;
  outbox.take(batch, 6 * sent_payload);
  std::vector<ChannelId> order;
  for (const auto& f : frames_of(batch)) order.push_back(f.channel);
  EXPECT_EQ(order, (std::vector<ChannelId>{1, 3, 5, 1, 3, 5}));
}

TEST(Outbox, DoesNotStarveAStreamByCalls) {
  Outbox outbox;
  outbox.push(1, Type::data, "bytes");
  for (ChannelId id = 3; id < 203; id += 2) outbox.push(id, Type::call, "c");
  Batch batch;
  outbox.take(batch, 1 << 20);
  const auto frames = frames_of(batch);
  const auto at =
      std::find_if(frames.begin(), frames.end(), [](const FrameHeader& f) { return f.type == Type::data; }) -
      frames.begin();
  EXPECT_LE(at, 16);
}

TEST(Outbox, ForgetsACallThatWasNotSent) {
  Outbox outbox;
  outbox.push(1, Type::call, "c");
  EXPECT_FALSE(outbox.drop(1));
  EXPECT_TRUE(outbox.empty());
  outbox.push(3, Type::call, std::string(2 * sent_payload, 'x'));
  Batch batch;
  outbox.take(batch, 1);
  EXPECT_TRUE(outbox.drop(3));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.queued(), 0U);
}

// ---- the protocol

struct Pair {
  explicit Pair(Limits limits = {}) : a(true, limits), b(false, limits) {}
  // Moves everything one way.
  static std::vector<ChannelEvent> move(Mux& from, Mux& to) {
    std::vector<ChannelEvent> events;
    for (;;) {
      Batch batch;
      from.take(batch, 1 << 20);
      if (batch.empty()) return events;
      for (const auto& p : batch.pieces)
        to.receive(std::string(p.head.data(), p.head.size()) + std::string(p.payload), events);
    }
  }
  Mux a, b;
};

void expect_violation(const std::string& bytes) {
  Mux mux(false);
  std::vector<ChannelEvent> events;
  EXPECT_THROW(mux.receive(bytes, events), Error);
}

TEST(Protocol, RefusesWhatNoHonestPeerSends) {
  const std::string method = "\x01m";
  expect_violation(frame(Type::call, 2, method));  // our channels
  expect_violation(frame(Type::call, 0, method));
  expect_violation(frame(Type::call, 3, method) + frame(Type::call, 1, method));  // going back
  expect_violation(frame(Type::call, 1, ""));                                     // no method
  expect_violation(frame(Type::call, 1, "\x05m"));
  expect_violation(frame(Type::more, 1, "x"));                                  // never opened
  expect_violation(frame(Type::more, 0, "x"));                                  // no notification
  expect_violation(frame(Type::reply, 2, "x"));                                 // never called
  expect_violation(frame(Type::call, 1, method) + frame(Type::reply, 1, "x"));  // its own call
  expect_violation(frame(Type::call, 1, method) + frame(Type::data, 1, "x"));   // no stream
  expect_violation(frame(Type::open, 1, method) + frame(Type::cancel, 1, "x"));
  expect_violation(frame(Type::open, 1, method) + frame(Type::credit, 1, "123"));
  expect_violation(frame(Type::open, 1, method) + frame(Type::credit, 1, "\xff\xff\xff\xff"));
  expect_violation(frame(Type::open, 1, method) + frame(Type::finish, 1, "") + frame(Type::data, 1, "x"));
  expect_violation(frame(Type::open, 1, method) + frame(Type::data, 1, std::string(first_window + 1, 'x')));
  expect_violation(frame(Type::open, 1, method) + frame(Type::error, 1, "no cbor"));
  expect_violation(frame(Type::ping, 1, ""));
  expect_violation(frame(Type::ping, 0, "", true));
  expect_violation(frame(Type::notify, 0, method, true) + frame(Type::notify, 0, method));
}

TEST(Protocol, IgnoresFramesThatCrossedTheEndOfTheirChannel) {
  Pair p;
  const auto id = p.a.call("m", "request");
  ASSERT_EQ(Pair::move(p.a, p.b).size(), 1U);
  p.a.cancel(id, "enough");
  p.b.reply(id, "late");
  EXPECT_TRUE(Pair::move(p.b, p.a).empty());
  EXPECT_TRUE(Pair::move(p.a, p.b).empty());
}

TEST(Protocol, RefusesMoreCallsThanTheLimitOneByOne) {
  Limits limits;
  limits.calls = 3;
  Pair p(limits);
  for (int i = 0; i < 5; ++i) p.a.call("m", "");
  EXPECT_EQ(Pair::move(p.a, p.b).size(), 3U);
  const auto answers = Pair::move(p.b, p.a);
  ASSERT_EQ(answers.size(), 2U);
  for (const auto& e : answers) EXPECT_EQ(e.kind, ChannelEvent::Kind::error);
  p.b.reply(1, "done");
  Pair::move(p.b, p.a);
  p.a.call("m", "");
  EXPECT_EQ(Pair::move(p.a, p.b).size(), 1U);
}

TEST(Protocol, RefusesAMessageBeyondTheLimitAndGoesOn) {
  Limits small;
  small.message = 100'000;
  Mux receiver(false, small);
  Mux sender(true);
  sender.call("m", std::string(300'000, 'x'));
  sender.call("m", "fine");
  const auto events = Pair::move(sender, receiver);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].bytes, "fine");
  const auto answers = Pair::move(receiver, sender);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].kind, ChannelEvent::Kind::error);
  EXPECT_EQ(answers[0].channel, 1U);
}

TEST(Protocol, BoundsAllMessagesThatAreIncomplete) {
  Limits limits;
  limits.partial = 1000;
  Mux mux(false, limits);
  std::vector<ChannelEvent> events;
  for (ChannelId id = 1; id < 41; id += 2)
    mux.receive(frame(Type::call, id, "\x01m" + std::string(98, 'x'), true), events);
  Batch batch;
  mux.take(batch, 1 << 20);
  EXPECT_EQ(batch.pieces.size(), 10U);  // refused
}

TEST(Protocol, BoundsTheRequestsThatAreBeingAnswered) {
  Limits limits;
  limits.asked = 1000;
  Pair p(limits);
  for (int i = 0; i < 3; ++i) p.a.call("m", std::string(400, 'x'));
  EXPECT_EQ(Pair::move(p.a, p.b).size(), 2U);
  const auto answers = Pair::move(p.b, p.a);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].kind, ChannelEvent::Kind::error);
  p.b.reply(1, "done");
  Pair::move(p.b, p.a);
  const auto stream = p.a.open("s", std::string(400, 'x'));
  EXPECT_EQ(Pair::move(p.a, p.b).size(), 1U);
  const auto refused = p.a.open("s", std::string(400, 'x'));
  EXPECT_EQ(Pair::move(p.a, p.b).size(), 0U);
  Pair::move(p.b, p.a);
  EXPECT_FALSE(stream->failed);
  EXPECT_TRUE(refused->failed);
}

TEST(Protocol, ClosesALinkThatAsksAndDoesNotRead) {
  Limits limits;
  limits.calls = 0;
  limits.queued = 10'000;
  Mux mux(false, limits);
  std::vector<ChannelEvent> events;
  EXPECT_THROW(for (ChannelId id = 1; id < 1000; id += 2) mux.receive(frame(Type::call, id, "\x01m"), events), Error);
}

TEST(Protocol, TurnsARepliesBacklogIntoAnError) {
  Limits limits;
  limits.queued = 1000;
  Pair p(limits);
  const auto id = p.a.call("m", "");
  Pair::move(p.a, p.b);
  p.b.reply(id, std::string(2000, 'r'));
  const auto events = Pair::move(p.b, p.a);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, ChannelEvent::Kind::error);
}

TEST(Protocol, GrowsAWindowOnlyForAReaderThatKeepsUp) {
  Pair p;
  const auto s = p.a.open("s", "");
  const auto events = Pair::move(p.a, p.b);
  ASSERT_EQ(events.size(), 1U);
  const auto r = events[0].stream;
  const auto fill = [&] {
    for (std::size_t n; (n = p.a.room(*s)) > 0; Pair::move(p.a, p.b)) {
      p.a.reserve(*s, n);
      p.a.write(*s, std::string(n, 'x'));
    }
  };
  fill();
  EXPECT_EQ(s->credit, 0U);
  while (!r->in.empty()) p.b.read(*r);
  Pair::move(p.b, p.a);
  EXPECT_EQ(r->window, 2 * first_window);
  EXPECT_EQ(s->credit, 2 * first_window);
}

TEST(Protocol, JoinsTinyPiecesOfAStream) {
  Mux mux(false);
  std::vector<ChannelEvent> events;
  mux.receive(frame(Type::open, 1, "\x01m"), events);
  for (int i = 0; i < 1000; ++i) mux.receive(frame(Type::data, 1, "x"), events);
  EXPECT_EQ(events[0].stream->in.size(), 1U);
}

TEST(Protocol, SaysGoodbyeAfterEverythingElse) {
  Pair p;
  p.a.notify("n", std::string(500'000, 'x'));
  p.a.close("");
  const auto events = Pair::move(p.a, p.b);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, ChannelEvent::Kind::notify);
  EXPECT_EQ(events[1].kind, ChannelEvent::Kind::closed);
}

// ---- the handshake

Hello hello(unsigned min = 1, unsigned max = 1) {
  Hello h;
  h.min_version = min;
  h.max_version = max;
  h.software = "test " + std::to_string(max);
  return h;
}

void talk(Handshake& a, Handshake& b) {
  for (int i = 0; i < 4; ++i) {
    const std::string x = a.output(), y = b.output();
    b.feed(x);
    a.feed(y);
  }
}

using Role = Handshake::Role;

TEST(HandshakeOfALink, SucceedsWithTheSameToken) {
  Handshake c(Role::client, hello(), "t"), s(Role::server, hello(), "t");
  talk(c, s);
  EXPECT_TRUE(c.done());
  EXPECT_TRUE(s.done());
  EXPECT_EQ(s.other().software, "test 1");
}

TEST(HandshakeOfALink, NamesBothVersionsAndWhoToUpdateAtBothEnds) {
  Handshake c(Role::client, hello(1, 1), ""), s(Role::server, hello(2, 3), "");
  talk(c, s);
  ASSERT_TRUE(c.failure());
  ASSERT_TRUE(s.failure());
  EXPECT_EQ(c.failure()->code(), Code::unsupported);
  EXPECT_EQ(c.failure()->message(),
            "protocol versions differ: here test 1 speaks 1, at the other end test 3 speaks 2 to 3; update this end");
  EXPECT_EQ(
      s.failure()->message(),
      "protocol versions differ: here test 3 speaks 2 to 3, at the other end test 1 speaks 1; update the other end");
}

TEST(HandshakeOfALink, RefusesAWrongTokenAndNeverSendsIt) {
  Handshake c(Role::client, hello(), "guess"), s(Role::server, hello(), "secret");
  std::string wire;
  for (int i = 0; i < 4; ++i) {
    const std::string x = c.output(), y = s.output();
    wire += x + y;
    s.feed(x);
    c.feed(y);
  }
  ASSERT_TRUE(s.failure());
  EXPECT_TRUE(s.wrong_proof());
  EXPECT_EQ(c.failure()->code(), Code::permission_denied);
  EXPECT_EQ(wire.find("guess"), std::string::npos);
  EXPECT_EQ(wire.find("secret"), std::string::npos);
}

TEST(HandshakeOfALink, RefusesAReplayedProof) {
  std::string said;
  {
    Handshake c(Role::client, hello(), "t"), s(Role::server, hello(), "t");
    for (int i = 0; i < 4; ++i) {
      const std::string x = c.output(), y = s.output();
      said += x;
      s.feed(x);
      c.feed(y);
    }
    ASSERT_TRUE(s.done());
  }
  Handshake again(Role::server, hello(), "t");
  again.feed(said);
  ASSERT_TRUE(again.failure());
  EXPECT_TRUE(again.wrong_proof());
}

TEST(HandshakeOfALink, RefusesAMirror) {
  Handshake c(Role::client, hello(), "t");
  for (int i = 0; i < 4; ++i) c.feed(c.output());
  EXPECT_TRUE(c.failure());
}

TEST(HandshakeOfALink, KeepsTheBytesAfterIt) {
  Handshake c(Role::client, hello(), ""), s(Role::server, hello(), "");
  s.feed(c.output());
  c.feed(s.output());
  s.feed(c.output() + "frames");
  ASSERT_TRUE(s.done());
  EXPECT_EQ(s.rest(), "frames");
}

TEST(HandshakeOfALink, RefusesRecordsWithoutABound) {
  Handshake s(Role::server, hello(), "");
  s.feed(std::string(magic) + "\x7f\xff\xff\xff");
  EXPECT_TRUE(s.failure());
}

TEST(HandshakeOfALink, ReadsAHelloWithFieldsOfALaterVersion) {
  Handshake c(Role::client, hello(), "");
  const std::string said = c.output();
  std::string record = said.substr(magic.size() + 4);
  ASSERT_EQ(record[0], '\x87');
  record[0] = '\x88';
  record += '\x05';
  EXPECT_EQ(decode_hello(record).software, "test 1");
}

// ---- addresses

TEST(Addresses, AreReadAndWritten) {
  for (const char* text :
       {"unix:///run/x.sock", "tcp://127.0.0.1:80", "tcp://[::1]:80", "tcp://host.example:65535", "fd://3,4"})
    EXPECT_EQ(parse_address(text).str(), text);
  for (const char* text : {"", "unix://relative", "unix://", "tcp://host", "tcp://:80", "tcp://h:70000", "tcp://::1:80",
                           "tcp://h:80x", "fd://3", "fd://-1,2", "http://x"})
    EXPECT_THROW(parse_address(text), Error) << text;
}

}  // namespace
}  // namespace dagger::link
