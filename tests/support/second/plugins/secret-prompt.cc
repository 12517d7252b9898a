#include "dagger/plugin/export.h"
#include "tests/support/second/prompt_secret.h"

DAGGER_PLUGIN(dagger::plugin::SecretProvider, dagger::testing::PromptSecret, "prompt", "1.0.0", "Dagger tests");
