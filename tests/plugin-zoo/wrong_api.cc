// Says it was built for another API version; its static constructor must never run.
#include <cstdlib>

#include "dagger/plugin/abi.h"
#undef DAGGER_PLUGIN_API_MAJOR
#define DAGGER_PLUGIN_API_MAJOR 9
#include "zoo.h"
namespace {
struct Bomb {
  Bomb() { std::abort(); }
} bomb;
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "wrong_api", "1.0.0", "Zoo");
