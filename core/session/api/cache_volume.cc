// CacheVolume: a key.
#include "core/session/api/resolver.h"

namespace dagger::session {

void add_cache_volume(Resolvers& r) {
  r.value("Query", "cacheVolume", [](const ResolveCall& call) {
    const auto space = text_arg_or(call, "namespace", "");
    return object(CacheVolume{space.empty() ? text_arg(call, "key") : space + "/" + text_arg(call, "key")});
  });
  later(r, "CacheVolume", "id", resolve_id<CacheVolume>);
}

}  // namespace dagger::session
