// Not made by DAGGER_PLUGIN(): the factory lets an exception out, or returns nothing, as its settings say.
#include <stdexcept>
#include <string_view>

#include "zoo.h"
extern "C" {
extern const dagger_plugin_manifest dagger_plugin_manifest_v1
    __attribute__((visibility("default"), section(DAGGER_MANIFEST_SECTION)));
constexpr dagger_plugin_manifest dagger_plugin_manifest_v1 =
    dagger::plugin::detail::make_manifest("source", "own_factory", "1.0.0", "Zoo");
__attribute__((visibility("default"))) int dagger_plugin_create_v1(void* host, const char* config, void** out,
                                                                   char* err, size_t size);
int dagger_plugin_create_v1(void*, const char* config, void**, char*, size_t) {
  if (std::string_view(config) == "{}") return 0;
  throw std::runtime_error("out of the door");
}
}
