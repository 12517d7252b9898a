// Source ops: the layers of a pin, fetched in parallel, each unless the store has it already.
#include <map>
#include <mutex>

#include "core/solver/client_owner.h"
#include "core/solver/job.h"
#include "core/solver/pins.h"
#include "core/store/mend.h"

namespace dagger::solver {
namespace {

bool names_bytes(const plugin::SourceLayer& layer) { return layer.id.starts_with("sha256:"); }

std::string text_of(std::optional<store::LayerId> id) { return id ? std::to_string(*id) : std::string(); }

// An id that is the digest of verified bytes means the same in every pin, any other only in its own.
std::string name_in_pin(const std::string& pin, const plugin::SourceLayer& layer) { return pin + " " + layer.id; }

// Takes what a source delivers into the store. One for a pin() or fetch() call. [thread-safe]
class Sink final : public plugin::SourceSink {
 public:
  // pin: empty while it is being found out; then adopt() is called with it.
  Sink(store::Store& store, std::string pin, plugin::CallContext& ctx)
      : store_(store), pin_(std::move(pin)), ctx_(ctx) {}

  bool have(const plugin::SourceLayer& layer) override {
    {
      const std::lock_guard lock(mutex_);
      if (nameless_.contains(layer.id)) return true;
    }
    return find_layer(store_, pin_, layer).has_value();
  }
  void tar(const plugin::SourceLayer& layer, plugin::ByteStream& stream) override {
    const auto id = store_.unpack(stream, names_bytes(layer) ? layer.id : "", layer.diff_id, ctx_);
    if (names_bytes(layer)) return store_.put_value("source-layer", layer.id, text_of(id));
    keep(layer, id);
  }
  void adopt(const std::string& pin) {
    const std::lock_guard lock(mutex_);
    for (const auto& [layer, id] : nameless_) store_.put_value("source-layer", pin + " " + layer, text_of(id));
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
    if (!pin_.empty()) return store_.put_value("source-layer", name_in_pin(pin_, layer), text_of(id));
    const std::lock_guard lock(mutex_);
    nameless_[layer.id] = id;
  }
  store::Store& store_;
  const std::string pin_;
  plugin::CallContext& ctx_;
  std::mutex mutex_;
  std::map<std::string, std::optional<store::LayerId>> nameless_;  // delivered before the pin was known
};

KnownPin find_pin(store::Store& store, plugin::Source& source, plugin::SourceRef ref,
                  const std::optional<plugin::Pin>& last, plugin::CallContext& ctx) {
  Sink sink(store, {}, ctx);
  KnownPin known{std::move(ref), {}};
  known.result = source.pin(known.ref, last, sink, ctx);
  sink.adopt(pinned_name(known.ref.scheme, known.result.pin.digest));
  return known;
}

}  // namespace

std::string pinned_name(const std::string& scheme, const std::string& pin_digest) { return scheme + " " + pin_digest; }

std::optional<store::Stack> find_layer(store::Store& store, const std::string& pin, const plugin::SourceLayer& layer) {
  if (!layer.diff_id.empty()) {
    if (const auto id = store.by_diff_id(layer.diff_id)) return store::Stack{*id};
  }
  auto known = store.value("source-layer", name_in_pin(pin, layer));
  if (!known && names_bytes(layer)) known = store.value("source-layer", layer.id);
  if (!known) return std::nullopt;
  if (known->empty()) return store::Stack{};  // delivered, and there was nothing in it
  const store::LayerId id = std::stoull(*known);
  if (!store.layer(id)) return std::nullopt;
  return store::Stack{id};
}

Task<plugin::PinResult> Solver::pin(Client& client, Digest step, plugin::SourceRef ref, CancelToken cancel) {
  auto& source = backends_.source(ref.scheme);
  const auto owner = std::make_shared<ClientOwner>(client, step, cancel, work_);
  Call call(loop_, owner, cancel);
  co_return co_await on_network(client.name(), cancel, [&] {
    std::optional<plugin::Pin> last;
    if (const auto known = store_.value("pin", pin_name(ref))) last = unpack_pin(*known).result.pin;
    const KnownPin known = find_pin(store_, source, ref, last, call);
    const std::string packed = pack_pin(known);
    store_.put_value("pin", pin_name(ref), packed);
    store_.put_value("pinned", pinned_name(known.ref.scheme, known.result.pin.digest), packed);
    return known.result;
  });
}

Task<store::Record> Solver::run_source(JobPtr job) {
  const auto& op = std::get<dag::Source>(job->vertex.op.fields);
  auto& source = backends_.source(op.scheme);
  Call call = job->call();
  const auto name = pinned_name(op.scheme, op.pin_digest);
  const auto known = co_await on_pool(loop_, io_, [&] { return store_.value("pinned", name); });
  KnownPin pin;
  if (known) {
    pin = unpack_pin(*known);
  } else {
    // Known to another runner only (an op from a recipe or a cache tier): pin again, by the immutable name.
    const plugin::SourceRef ref{op.scheme, op.location, op.attributes, op.platform};
    pin = co_await on_network(job->client_name(), job->cancel.token(),
                              [&] { return find_pin(store_, source, ref, std::nullopt, call); });
    if (pin.result.pin.digest != op.pin_digest)
      throw Error(Code::not_found, op.pin_identity + " is no longer what " + op.location + " names: pin it again");
  }
  TaskGroup fetching(loop_);
  CancelSource stop;
  const auto linked = job->cancel.token().on_cancel([stop]() mutable { stop.request("cancelled"); });
  for (const auto& layer : pin.result.layers) fetching.spawn(fetch_layer(job, source, pin, layer, stop));
  co_await fetching.join();

  co_return co_await on_pool(loop_, io_, [&] {
    store::Record record;
    auto& out = record.outputs.emplace_back();
    for (const auto& layer : pin.result.layers) {
      const auto stack = find_layer(store_, name, layer);
      if (!stack)
        throw Error(Code::plugin_fault,
                    "source '" + op.scheme + "' did not deliver layer " + layer.id + " of " + op.pin_identity);
      out.layers.insert(out.layers.end(), stack->begin(), stack->end());
    }
    if (const auto mended = store::mend(store_, out.layers, call)) out.layers.push_back(*mended);
    return record;
  });
}

Task<void> Solver::fetch_layer(JobPtr job, plugin::Source& source, const KnownPin& pin,
                               const plugin::SourceLayer& layer, CancelSource stop) {
  Call call(loop_, job, stop.token());
  try {
    co_await on_network(job->client_name(), stop.token(), [&] {
      const auto name = pinned_name(pin.ref.scheme, pin.result.pin.digest);
      if (find_layer(store_, name, layer)) return;
      Sink sink(store_, name, call);
      source.fetch(pin.ref, pin.result.pin, layer, sink, call);
    });
  } catch (...) {
    stop.request("another layer failed");
    throw;
  }
}

}  // namespace dagger::solver
