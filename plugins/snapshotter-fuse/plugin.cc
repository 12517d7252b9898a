#include "dagger/plugin/export.h"
#include "plugins/snapshotter-fuse/snapshotter.h"

DAGGER_PLUGIN(dagger::plugin::Snapshotter, dagger::fuse::FuseSnapshotter, "fuse", "0.1.0", "dagger");
