#include "dagger/plugin/export.h"
#include "plugins/source-oci/source.h"

DAGGER_PLUGIN(dagger::plugin::Source, dagger::source_oci::OciSource, "oci", "0.1.0", "dagger-engine");
