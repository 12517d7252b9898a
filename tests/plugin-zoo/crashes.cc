// Does, in pin(), what only a process of its own survives; the location says what.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "zoo.h"
namespace {

using namespace dagger::plugin;

// volatile: no compiler may see what this is.
int deeper(volatile const char* last) {  // NOLINT(misc-no-recursion)
  volatile char frame[4096];
  frame[0] = *last;
  return deeper(frame) + frame[0];
}

void overwrite_the_heap() {
  auto* block = static_cast<char*>(std::malloc(40));
  auto* volatile hidden = block;
  std::memset(hidden - 16, 0x5a, 96);
  std::free(block);
  std::free(std::malloc(40));
}

// Speaks on every socket of this process in a language of its own.
void babble(const void* bytes, std::size_t size) {
  for (int fd = 3; fd < 64; ++fd) ::send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

struct CrashingSource final : zoo::QuietSource {
  using QuietSource::QuietSource;
  PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    const auto what = ref.location.substr(ref.location.rfind('/') + 1);  // of "zoo://segv" as well
    if (what == "segv") ::raise(SIGSEGV);
    if (what == "abort") std::abort();
    if (what == "exit") std::exit(3);  // NOLINT(concurrency-mt-unsafe): that is its defect
    if (what == "stack") deeper("");
    if (what == "heap") overwrite_the_heap();
    if (what == "hang") ctx.log(LogLevel::info, "hangs"), ::poll(nullptr, 0, -1);
    if (what == "chatter")
      for (;;) ctx.log(LogLevel::info, "still here");
    if (what == "noise") babble("noise", 5);
    if (what == "lie") babble("\2\2\0\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 12);  // a reply: an array of 2^64-1 items
    if (what == "nothing") babble("\2\2\0", 3);
    return QuietSource::pin(ref, last, sink, ctx);
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, CrashingSource, "crashes", "1.0.0", "Zoo");
