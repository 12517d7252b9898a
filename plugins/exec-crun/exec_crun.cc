// exec-crun — execs by crun. Everything is in plugins/common/oci-runtime; see its executor.h.
#include "dagger/plugin/export.h"
#include "plugins/common/oci-runtime/executor.h"

namespace {

class CrunExecutor final : public dagger::oci::OciExecutor {
 public:
  // The groups are made by the executor: crun's own manager would make one in every hierarchy.
  CrunExecutor(dagger::plugin::Host& host, std::string_view config)
      : OciExecutor(host, config, {"crun", {"--cgroup-manager=disabled"}, false, true}) {}
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::Executor, CrunExecutor, "crun", "0.1.0", "dagger");
