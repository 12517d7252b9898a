// core/solver/tiers.h — the cache tiers behind the local store: looked up when it has no record, fed in the background.
//
// A tier holds records by key and blobs by digest: layers as uncompressed tars named by their own digest, logs as they
// are. What a tier gives is verified while it is unpacked; what it lacks or loses costs a run, never correctness.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "dagger/plugin/cache_store.h"

namespace dagger {
class Log;
}

namespace dagger::solver {

class CacheTiers {
 public:
  CacheTiers(store::Store& store, std::vector<std::pair<std::string, plugin::CacheStore*>> tiers, Log& log)
      : store_(store), tiers_(std::move(tiers)), log_(log) {}
  bool empty() const noexcept { return tiers_.empty(); }

  // The first tier's record of the op for one of the keys, with its layers and logs brought into the store. A tier that
  // fails, or gives what cannot be a record of the op, is logged and passed over. [blocking]
  std::optional<store::Record> find(const dag::Op& op, const std::vector<Digest>& keys, plugin::CallContext& ctx);
  // Copies a record and what it names into every writable tier that lacks it. Failures are logged. [blocking]
  void offer(const store::Record& record, const Digest& key, plugin::CallContext& ctx);

 private:
  store::Record bring(plugin::CacheStore& tier, const dag::Op& op, const std::string& encoded,
                      plugin::CallContext& ctx);
  void copy(plugin::CacheStore& tier, const store::Record& record, const Digest& key, plugin::CallContext& ctx);
  store::Store& store_;
  std::vector<std::pair<std::string, plugin::CacheStore*>> tiers_;
  Log& log_;
};

}  // namespace dagger::solver
