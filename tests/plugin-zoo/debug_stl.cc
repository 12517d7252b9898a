// Compiled with _GLIBCXX_DEBUG: every container has another layout.
#include "zoo.h"
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "debug_stl", "1.0.0", "Zoo");
