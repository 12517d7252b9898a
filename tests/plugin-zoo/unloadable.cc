// May be unloaded: linked without -z nodelete.
#include "zoo.h"
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "unloadable", "1.0.0", "Zoo");
