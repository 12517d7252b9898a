// Exports a function beside the two symbols of the door: linked with a map of its own.
#include "zoo.h"
extern "C" __attribute__((visibility("default"))) int zoo_helper();
int zoo_helper() { return 1; }
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "exports", "1.0.0", "Zoo");
