#include "dagger/plugin/export.h"
#include "plugins/snapshotter-overlay/snapshotter.h"

DAGGER_PLUGIN(dagger::plugin::Snapshotter, dagger::overlay::OverlaySnapshotter, "overlay", "0.1.0", "dagger");
