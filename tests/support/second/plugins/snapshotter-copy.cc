#include "dagger/plugin/export.h"
#include "tests/support/second/copy_snapshotter.h"

DAGGER_PLUGIN(dagger::plugin::Snapshotter, dagger::testing::CopySnapshotter, "copy", "1.0.0", "Dagger tests");
