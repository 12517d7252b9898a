// Names a directory of its builder's machine to the dynamic linker.
#include "zoo.h"
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "search_path", "1.0.0", "Zoo");
