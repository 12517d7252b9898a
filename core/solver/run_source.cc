// Source ops: the layers of a pin, fetched in parallel, each unless the store has it already.
#include "core/solver/job.h"
#include "core/solver/pins.h"
#include "core/store/mend.h"

namespace dagger::solver {
namespace {

// Takes what a source delivers into the store. One for a pin() or fetch() call. [thread-safe]
class Sink final : public plugin::SourceSink {
 public:
  Sink(store::Store& store, plugin::CallContext& ctx) : store_(store), ctx_(ctx) {}

  bool have(const plugin::SourceLayer& layer) override { return find_layer(store_, layer).has_value(); }
  void tar(const plugin::SourceLayer& layer, plugin::ByteStream& stream) override {
    keep(layer, store_.unpack(stream, layer.id.starts_with("sha256:") ? layer.id : "", layer.diff_id, ctx_));
  }
  std::unique_ptr<Directory> directory(const plugin::SourceLayer& layer) override {
    return std::make_unique<Filled>(*this, layer, store_.workspace({}, {}, ctx_));
  }

 private:
  class Filled final : public Directory {
   public:
    Filled(Sink& sink, plugin::SourceLayer layer, std::unique_ptr<store::Workspace> workspace)
        : sink_(sink), layer_(std::move(layer)), workspace_(std::move(workspace)) {}
    int fd() const noexcept override { return workspace_->root_fd(); }
    void done() override { sink_.keep(layer_, workspace_->seal(sink_.ctx_)); }

   private:
    Sink& sink_;
    plugin::SourceLayer layer_;
    std::unique_ptr<store::Workspace> workspace_;
  };

  void keep(const plugin::SourceLayer& layer, std::optional<store::LayerId> id) {
    store_.put_value("source-layer", layer.id, id ? std::to_string(*id) : "");
  }
  store::Store& store_;
  plugin::CallContext& ctx_;
};

}  // namespace

std::optional<store::Stack> find_layer(store::Store& store, const plugin::SourceLayer& layer) {
  if (!layer.diff_id.empty()) {
    if (const auto id = store.by_diff_id(layer.diff_id)) return store::Stack{*id};
  }
  const auto known = store.value("source-layer", layer.id);
  if (!known) return std::nullopt;
  if (known->empty()) return store::Stack{};  // delivered, and there was nothing in it
  const store::LayerId id = std::stoull(*known);
  if (!store.layer(id)) return std::nullopt;
  return store::Stack{id};
}

Task<plugin::PinResult> Solver::pin(Client& client, plugin::SourceRef ref, CancelToken cancel) {
  auto& source = backends_.source(ref.scheme);
  const auto owner = std::make_shared<PinOwner>(client, cancel, work_);
  Call call(loop_, owner, cancel);
  co_return co_await on_pool(loop_, io_, [&] {
    std::optional<plugin::Pin> last;
    if (const auto known = store_.value("pin", pin_name(ref))) last = unpack_pin(*known).result.pin;
    Sink sink(store_, call);
    KnownPin known{ref, source.pin(ref, last, sink, call)};
    const std::string packed = pack_pin(known);
    store_.put_value("pin", pin_name(ref), packed);
    store_.put_value("pinned", known.ref.scheme + " " + known.result.pin.digest, packed);
    return known.result;
  });
}

Task<store::Record> Solver::run_source(JobPtr job) {
  const auto& op = std::get<dag::Source>(job->vertex.op.fields);
  auto& source = backends_.source(op.scheme);
  Call call = job->call();
  auto known = co_await on_pool(loop_, io_, [&] { return store_.value("pinned", op.scheme + " " + op.pin_digest); });
  KnownPin pin;
  if (known) {
    pin = unpack_pin(*known);
  } else {
    // Known to another runner only (an op from a recipe or a cache tier): pin again, by the immutable name.
    pin.ref = {op.scheme, op.location, op.attributes, op.platform};
    pin.result = co_await on_pool(loop_, io_, [&] {
      Sink sink(store_, call);
      return source.pin(pin.ref, std::nullopt, sink, call);
    });
    if (pin.result.pin.digest != op.pin_digest)
      throw Error(Code::not_found, op.pin_identity + " is no longer what " + op.location + " names: pin it again");
  }
  TaskGroup fetching(loop_);
  CancelSource stop;
  const auto linked = job->cancel.token().on_cancel([stop]() mutable { stop.request("cancelled"); });
  for (const auto& layer : pin.result.layers) fetching.spawn(fetch_layer(job, source, pin, layer, stop));
  co_await fetching.join();

  store::Record record;
  store::Output out;
  for (const auto& layer : pin.result.layers) {
    const auto stack = find_layer(store_, layer);
    if (!stack)
      throw Error(Code::plugin_fault,
                  "source '" + op.scheme + "' did not deliver layer " + layer.id + " of " + op.pin_identity);
    out.layers.insert(out.layers.end(), stack->begin(), stack->end());
  }
  const auto mended = co_await on_pool(loop_, io_, [&] { return store::mend(store_, out.layers, call); });
  if (mended) out.layers.push_back(*mended);
  record.outputs.push_back(std::move(out));
  co_return record;
}

Task<void> Solver::fetch_layer(JobPtr job, plugin::Source& source, const KnownPin& pin,
                               const plugin::SourceLayer& layer, CancelSource stop) {
  Call call(loop_, job, stop.token());
  try {
    co_await on_pool(loop_, io_, [&] {
      if (find_layer(store_, layer)) return;
      Sink sink(store_, call);
      source.fetch(pin.ref, pin.result.pin, layer, sink, call);
    });
  } catch (...) {
    stop.request("another layer failed");
    throw;
  }
}

}  // namespace dagger::solver
