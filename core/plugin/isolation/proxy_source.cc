#include "core/plugin/isolation/conversation.h"
#include "core/plugin/isolation/proxy.h"

namespace dagger::plugin::isolation {
namespace {

class SourceProxy final : public Proxy<Source> {
 public:
  using Proxy::Proxy;
  std::vector<std::string> schemes() const override { return plugin_->started().offered; }
  PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    PinCall args{ref, {}};
    if (last) args.last.push_back(*last);
    Conversation talk(*plugin_, {.context = &ctx, .sink = &sink});
    return talk.call<PinResult>(Method::pin, "pin", args);
  }
  void fetch(const SourceRef& ref, const Pin& pin, const SourceLayer& layer, SourceSink& sink,
             CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx, .sink = &sink});
    talk.call(Method::fetch, "fetch", cbor::pack(FetchCall{ref, pin, layer}));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_source_proxy(SupervisorPtr plugin) {
  return std::make_unique<SourceProxy>(std::move(plugin));
}

}  // namespace dagger::plugin::isolation
