// Speaks the language of its process, but at random: the location is the seed. For plugins in processes of their own.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "zoo.h"
namespace {

using namespace dagger;
using namespace dagger::plugin;

// Heads and bodies that are wrong in the interesting ways: right kind, wrong moment; right shape, wrong numbers.
class Babble {
 public:
  explicit Babble(unsigned seed) : random_(seed) {}

  void say(int socket) {
    std::string packet;
    packet += static_cast<char>(pick(10) == 0 ? pick(256) : 1 + pick(8));
    packet += static_cast<char>(pick(16));
    packet += static_cast<char>(pick(12) == 0 ? 1 : 0);
    packet += body();
    iovec part{packet.data(), packet.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 2)] = "";
    msghdr header{};
    header.msg_iov = &part, header.msg_iovlen = 1;
    int fds[2];
    if (pick(4) == 0 && ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0) {
      header.msg_control = control, header.msg_controllen = CMSG_SPACE(sizeof(int));
      cmsghdr* item = CMSG_FIRSTHDR(&header);
      item->cmsg_level = SOL_SOCKET, item->cmsg_type = SCM_RIGHTS, item->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(item), fds, sizeof(int));
      ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
      ::close(fds[0]);
      if (pick(2) == 0) return say_more(fds[1]);
      ::close(fds[1]);
      return;
    }
    ::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(random_()) % below; }
  // On a line of its own, which stays open.
  void say_more(int line) {
    for (unsigned n = pick(4); n > 0; --n) {
      const char ask[] = {4, static_cast<char>(pick(14)), 0, '\x81', '\x61', 'x'};
      ::send(line, ask, sizeof ask, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  std::string body() {
    switch (pick(7)) {
      case 0:
        return {};
      case 1:
        return "\x81\x61x";  // a text
      case 2:
        return std::string("\x81", 1) + static_cast<char>(pick(24));  // a number
      case 3:
        return "\x85\x61x\x61y\x60\x20\x80";  // a layer
      case 4:
        return std::string("\x82", 1) + static_cast<char>(pick(24)) + "\x61x";  // a failure, a line of the log
      case 5:
        return "\x83\x61x\x01\x20";  // progress
      default: {
        std::string bytes(pick(40), '\0');
        for (char& c : bytes) c = static_cast<char>(pick(256));
        return bytes;
      }
    }
  }
  std::minstd_rand random_;
};

struct BabblingSource final : zoo::QuietSource {
  using QuietSource::QuietSource;
  PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    Babble babble(static_cast<unsigned>(std::stoul(ref.location)));
    for (int i = 0; i < 30; ++i)
      for (int fd = 3; fd < 16; ++fd) babble.say(fd);
    return QuietSource::pin(ref, last, sink, ctx);
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, BabblingSource, "babbles", "1.0.0", "Zoo");
