#include "dagger/plugin/export.h"
#include "plugins/cache-local/store.h"

DAGGER_PLUGIN(dagger::plugin::CacheStore, dagger::cache_local::LocalCache, "local", "0.1.0", "dagger-engine");
