#include <set>

#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

// The host's sink as the plugin sees it: streams of the plugin are guarded before the host reads them.
class GuardedSink final : public SourceSink {
 public:
  GuardedSink(const std::string& label, SourceSink& sink) : label_(label), sink_(sink) {}
  bool have(const SourceLayer& layer) override {
    return detail::unblamed([&] { return sink_.have(layer); });
  }
  void tar(const SourceLayer& layer, ByteStream& stream) override {
    detail::GuardedStream guarded(label_, stream);
    detail::unblamed([&] { sink_.tar(layer, guarded); });
  }
  std::unique_ptr<Directory> directory(const SourceLayer& layer) override {
    return detail::unblamed([&] { return sink_.directory(layer); });
  }

 private:
  const std::string& label_;
  SourceSink& sink_;
};

void check_pin(const PinResult& r) {
  const auto colon = r.pin.digest.find(':');
  if (r.pin.digest.empty()) fault("returned a pin with an empty digest");
  if (colon == 0 || colon == std::string::npos || colon + 1 == r.pin.digest.size())
    fault("returned the digest '" + r.pin.digest + "', expected \"algorithm:value\"");
  if (r.shape == SourceShape::file && r.file_name.empty()) fault("returned a pin of shape file without a file name");
  if (r.shape == SourceShape::image && r.metadata_json.empty()) fault("returned an image without its configuration");
  std::set<std::string> ids;
  for (const auto& layer : r.layers) {
    if (layer.id.empty()) fault("returned a layer with an empty id");
    if (r.shape != SourceShape::image && !ids.insert(layer.id).second)
      fault("returned two layers with the id '" + layer.id + "'");
  }
}

class GuardedSource final : public detail::GuardBase<Source> {
 public:
  using GuardBase::GuardBase;
  std::vector<std::string> schemes() const override {
    return call("schemes", [&] { return inner_.schemes(); });
  }
  PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    return call("pin", [&] {
      GuardedSink guarded(label_, sink);
      auto result = inner_.pin(ref, last, guarded, ctx);
      check_pin(result);
      return result;
    });
  }
  void fetch(const SourceRef& ref, const Pin& pin, const SourceLayer& layer, SourceSink& sink,
             CallContext& ctx) override {
    call("fetch", [&] {
      GuardedSink guarded(label_, sink);
      inner_.fetch(ref, pin, layer, guarded, ctx);
    });
  }
};

}  // namespace

std::unique_ptr<Source> guard_source(LoadedPlugin plugin) { return std::make_unique<GuardedSource>(std::move(plugin)); }

}  // namespace dagger::plugin
