#include "dagger/plugin/export.h"
#include "tests/support/second/process_network.h"

DAGGER_PLUGIN(dagger::plugin::Network, dagger::testing::ProcessNetwork, "process", "1.0.0", "Dagger tests");
