// tests/plugin-zoo/zoo.h — a well-behaved source. Each file of the zoo makes it misbehave in exactly one way.
#pragma once
#include "dagger/plugin/export.h"
#include "dagger/plugin/source.h"

namespace zoo {

using namespace dagger;
using namespace dagger::plugin;

class QuietSource : public Source {
 public:
  static constexpr char settings_schema[] = R"({"type": "object", "properties": {
    "depth": {"type": "integer", "minimum": 0, "description": "how deep"}}})";
  QuietSource(Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"zoo"}; }
  PinResult pin(const SourceRef&, const std::optional<Pin>&, SourceSink&, CallContext&) override {
    PinResult result;
    result.pin.digest = "sha256:00";
    return result;
  }
  void fetch(const SourceRef&, const Pin&, const SourceLayer&, SourceSink&, CallContext&) override {}
};

}  // namespace zoo
