#include "dagger/plugin/export.h"
#include "tests/support/second/memory_cache.h"

DAGGER_PLUGIN(dagger::plugin::CacheStore, dagger::testing::MemoryCache, "memory", "1.0.0", "Dagger tests");
