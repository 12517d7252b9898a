// Crashes while it is loaded.
#include <cstdlib>

#include "zoo.h"
namespace {
struct Bomb {
  Bomb() { std::abort(); }
} bomb;
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "crash_static", "1.0.0", "Zoo");
