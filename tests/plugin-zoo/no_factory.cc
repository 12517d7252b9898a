// A manifest and nothing behind it.
#include "zoo.h"
extern "C" {
extern const dagger_plugin_manifest dagger_plugin_manifest_v1
    __attribute__((visibility("default"), section(DAGGER_MANIFEST_SECTION)));
constexpr dagger_plugin_manifest dagger_plugin_manifest_v1 =
    dagger::plugin::detail::make_manifest("source", "no_factory", "1.0.0", "Zoo");
}
