// Writes to stdout, moves the process, leaks fds without O_CLOEXEC, replaces a signal handler, changes the environment
// and ignores cancellation: for the conformance program.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>

#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  static constexpr char settings_schema[] = R"({"type": "object", "additionalProperties": true})";
  Source(dagger::plugin::Host& h, std::string_view c) : QuietSource(h, c) {
    std::puts("hello from a plugin");
    std::fflush(stdout);
    if (::chdir("/tmp") != 0) throw dagger::Error(dagger::Code::internal, "chdir");
    ::umask(0);
    ::setenv("RUDE", "1", 1);
    ::signal(SIGPIPE, SIG_IGN);
    std::setlocale(LC_ALL, "C.UTF-8");
  }
  std::string_view config_schema() const noexcept override { return settings_schema; }
  dagger::plugin::PinResult pin(const dagger::plugin::SourceRef& ref, const std::optional<dagger::plugin::Pin>&,
                                dagger::plugin::SourceSink&, dagger::plugin::CallContext&) override {
    leaked_ = ::open("/dev/null", O_RDONLY);
    if (ref.location.rfind("//", 0) == 0) ::poll(nullptr, 0, 4000);
    dagger::plugin::PinResult result;
    result.pin.digest = "sha256:" + std::to_string(leaked_);
    return result;
  }

 private:
  int leaked_ = -1;
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "rude", "1.0.0", "Zoo");
