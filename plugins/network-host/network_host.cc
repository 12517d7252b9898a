// network-host — execs share the network of the machine.
#include "dagger/plugin/export.h"
#include "plugins/common/fixed-network/fixed_network.h"

namespace {

class HostNetwork final : public dagger::plugins::FixedNetwork {
 public:
  static constexpr char settings_schema[] = R"({"type": "object", "additionalProperties": false, "properties": {},
    "description": "Execs share the network of the machine"})";

  HostNetwork(dagger::plugin::Host&, std::string_view)
      : FixedNetwork("host", dagger::plugin::Namespace::host, settings_schema) {}
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::Network, HostNetwork, "host", "0.1.0", "dagger");
