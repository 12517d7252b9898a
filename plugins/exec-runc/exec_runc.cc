// exec-runc — execs by runc. Everything is in plugins/common/oci-runtime; see its executor.h.
#include "dagger/plugin/export.h"
#include "plugins/common/oci-runtime/executor.h"

namespace {

class RuncExecutor final : public dagger::oci::OciExecutor {
 public:
  RuncExecutor(dagger::plugin::Host& host, std::string_view config) : OciExecutor(host, config, {"runc", {}, true}) {}
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::Executor, RuncExecutor, "runc", "0.1.0", "dagger");
