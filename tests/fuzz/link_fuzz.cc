// libFuzzer target for everything of core/link that reads bytes from the wire: the handshake of both roles, then the
// protocol. The first byte chooses; the second cuts the input into pieces, as a socket might.
#include <algorithm>

#include "core/link/address.h"
#include "core/link/handshake.h"
#include "core/link/mux.h"

namespace {

using namespace dagger;
using namespace dagger::link;

void in_pieces(std::string_view input, std::size_t size, auto f) {
  for (; !input.empty(); input.remove_prefix(std::min(size, input.size()))) f(input.substr(0, size));
}

void shake_hands(Handshake::Role role, bool token, std::string_view input, std::size_t piece) {
  Hello mine;
  mine.min_version = mine.max_version = 1;
  Handshake handshake(role, mine, token ? "token" : "");
  in_pieces(input, piece, [&](std::string_view part) {
    handshake.feed(part);
    (void)handshake.output();
  });
}

Limits small() {
  Limits l;
  l.message = 4096;
  l.partial = 16384;
  l.queued = 16384;
  l.calls = 8;
  l.streams = 8;
  return l;
}

// Answers what arrives, reads streams and sends, like a server that is busy.
void talk(bool initiator, std::string_view input, std::size_t piece) {
  Mux mux(initiator, small());
  std::vector<ChannelEvent> events;
  const auto mine = mux.open("s", "x");
  mux.call("m", "request");
  try {
    in_pieces(input, piece, [&](std::string_view part) {
      events.clear();
      mux.receive(part, events);
      for (const auto& e : events) {
        if (e.kind == ChannelEvent::Kind::call) mux.reply(e.channel, e.bytes);
        if (e.kind == ChannelEvent::Kind::cancel) mux.fail(e.channel, Error(Code::cancelled, e.bytes));
        if (!e.stream) continue;
        while (!e.stream->in.empty()) mux.read(*e.stream);
        if (e.bytes.size() % 2 != 0) mux.drop(*e.stream);
      }
      if (const auto room = std::min<std::size_t>(mux.room(*mine), 100); room > 0 && !mine->failed) {
        mux.reserve(*mine, room);
        mux.write(*mine, std::string(room, 'x'));
      }
      while (!mine->in.empty()) mux.read(*mine);
      Batch batch;
      mux.take(batch, 8192);
    });
  } catch (const Error&) {
    mux.kill(Error(Code::unavailable, "violation"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size < 2) return 0;
  const unsigned char choice = data[0];
  const std::size_t piece = data[1] + 1U;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  switch (choice % 4) {
    case 0:
      shake_hands(choice & 4 ? Handshake::Role::client : Handshake::Role::server, (choice & 8) != 0, input, piece);
      break;
    case 1:
      try {
        (void)decode_hello(input);
      } catch (const Error&) {
      }
      try {
        (void)parse_address(input);
      } catch (const Error&) {
      }
      break;
    default:
      talk((choice & 4) != 0, input, piece);
      break;
  }
  return 0;
}
