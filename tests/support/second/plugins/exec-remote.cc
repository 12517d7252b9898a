#include "dagger/plugin/export.h"
#include "tests/support/second/remote_executor.h"

DAGGER_PLUGIN(dagger::plugin::Executor, dagger::testing::RemoteExecutor, "remote", "1.0.0", "Dagger tests");
