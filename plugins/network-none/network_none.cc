// network-none — execs have a network namespace with nothing but loopback; the executor makes it and brings that up.
#include "dagger/plugin/export.h"
#include "plugins/common/fixed-network/fixed_network.h"

namespace {

class NoNetwork final : public dagger::plugins::FixedNetwork {
 public:
  static constexpr char settings_schema[] = R"({"type": "object", "additionalProperties": false, "properties": {},
    "description": "Execs have a network with nothing but loopback"})";

  NoNetwork(dagger::plugin::Host&, std::string_view)
      : FixedNetwork("none", dagger::plugin::Namespace::isolated, settings_schema) {}
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::Network, NoNetwork, "none", "0.1.0", "dagger");
