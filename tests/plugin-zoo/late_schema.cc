// Has its schema in config_schema() only: the host can check the settings no earlier than after the constructor.
#include "zoo.h"
namespace {
class Source final : public dagger::plugin::Source {
 public:
  Source(dagger::plugin::Host& h, std::string_view c) : inner_(h, c) {}
  std::string_view config_schema() const noexcept override { return inner_.config_schema(); }
  std::vector<std::string> schemes() const override { return inner_.schemes(); }
  dagger::plugin::PinResult pin(const dagger::plugin::SourceRef& r, const std::optional<dagger::plugin::Pin>& l,
                                dagger::plugin::SourceSink& s, dagger::plugin::CallContext& c) override {
    return inner_.pin(r, l, s, c);
  }
  void fetch(const dagger::plugin::SourceRef&, const dagger::plugin::Pin&, const dagger::plugin::SourceLayer&,
             dagger::plugin::SourceSink&, dagger::plugin::CallContext&) override {}

 private:
  zoo::QuietSource inner_;
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "late_schema", "1.0.0", "Zoo");
