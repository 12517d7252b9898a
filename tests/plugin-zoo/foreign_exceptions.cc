// Its methods throw what may not cross the boundary.
#include <stdexcept>

#include "zoo.h"
namespace {
struct Stream final : dagger::plugin::ByteStream {
  std::size_t read(void*, std::size_t) override { throw std::logic_error("the stream broke"); }
};
struct Source final : zoo::QuietSource {
  using QuietSource::QuietSource;
  dagger::plugin::PinResult pin(const dagger::plugin::SourceRef&, const std::optional<dagger::plugin::Pin>&,
                                dagger::plugin::SourceSink&, dagger::plugin::CallContext&) override {
    throw std::runtime_error("libfoo said no");
  }
  void fetch(const dagger::plugin::SourceRef& ref, const dagger::plugin::Pin&, const dagger::plugin::SourceLayer& layer,
             dagger::plugin::SourceSink& sink, dagger::plugin::CallContext&) override {
    if (ref.location == "memory") throw std::bad_alloc();
    if (ref.location != "stream") throw 42;
    Stream stream;
    sink.tar(layer, stream);
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "foreign_exceptions", "1.0.0", "Zoo");
