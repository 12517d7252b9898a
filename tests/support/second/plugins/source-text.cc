#include "dagger/plugin/export.h"
#include "tests/support/second/pin_only_source.h"

DAGGER_PLUGIN(dagger::plugin::Source, dagger::testing::PinOnlySource, "text", "1.0.0", "Dagger tests");
