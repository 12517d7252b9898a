// tests/support/second/process_network.h — a network class whose namespace belongs to a child process.
//
// The attachment is lost when that process dies (lost_fd()), and the process dies with the attachment. Needs the right
// to make network namespaces. [thread-safe]
#pragma once
#include "dagger/plugin/network.h"

namespace dagger::testing {

class ProcessNetwork final : public plugin::Network {
 public:
  static constexpr char settings_schema[] =
      R"({"type": "object", "description": "a network that a process of its own provides", "properties": {}})";

  ProcessNetwork(plugin::Host& host, std::string_view) : host_(host) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::string network_class() const override { return "process"; }
  std::unique_ptr<plugin::Attachment> attach(const plugin::NetworkRequest& request, plugin::CallContext& ctx) override;

 private:
  plugin::Host& host_;
};

}  // namespace dagger::testing
