// tests/support/second/pin_only_source.h — a source whose reference is the content: "text:hello" is a file with
// "hello".
//
// Nothing is downloaded: pinning is hashing the reference, delivering is writing it into the sink's directory.
// [thread-safe]
#pragma once
#include "dagger/plugin/source.h"

namespace dagger::testing {

class PinOnlySource final : public plugin::Source {
 public:
  static constexpr char settings_schema[] =
      R"({"type": "object", "description": "text: references whose content is their own text; pins only", "properties": {}})";

  PinOnlySource(plugin::Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"text"}; }
  plugin::PinResult pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>& last, plugin::SourceSink& sink,
                        plugin::CallContext& ctx) override;
  void fetch(const plugin::SourceRef& ref, const plugin::Pin& pin, const plugin::SourceLayer& layer,
             plugin::SourceSink& sink, plugin::CallContext& ctx) override;
};

}  // namespace dagger::testing
