// Crashes in a method.
#include <csignal>

#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  using QuietSource::QuietSource;
  dagger::plugin::PinResult pin(const dagger::plugin::SourceRef&, const std::optional<dagger::plugin::Pin>&,
                                dagger::plugin::SourceSink&, dagger::plugin::CallContext&) override {
    std::raise(SIGSEGV);
    return {};
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "crash_method", "1.0.0", "Zoo");
