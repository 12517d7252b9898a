// Returns pins that break the contract; the location says which.
#include "zoo.h"
namespace {
struct Source final : zoo::QuietSource {
  using QuietSource::QuietSource;
  dagger::plugin::PinResult pin(const dagger::plugin::SourceRef& ref, const std::optional<dagger::plugin::Pin>&,
                                dagger::plugin::SourceSink&, dagger::plugin::CallContext&) override {
    dagger::plugin::PinResult result;
    result.pin.digest = ref.location == "empty" ? "" : ref.location == "plain" ? "abc" : "sha256:00";
    if (ref.location == "layer") result.layers.emplace_back();
    if (ref.location == "file") result.shape = dagger::plugin::SourceShape::file;
    return result;
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "bad_answers", "1.0.0", "Zoo");
