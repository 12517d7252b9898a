// Nothing is wrong with this one.
#include "zoo.h"
DAGGER_PLUGIN(dagger::plugin::Source, zoo::QuietSource, "good", "1.0.0", "Zoo");
