// tests/support/second/remote_executor.h — an executor on "another machine": no local mount, no process, no file.
//
// The machine is a map from path to content in memory. Layers come and go as tar streams through LayerTransfer, outputs
// are layers by digest. It knows a few commands (args[0] by its last component):
//   true | false | exit N | echo WORDS... | cat PATH... | write PATH TEXT | append PATH TEXT | rm PATH | env NAME |
//   stdin (to stdout) | wait (until it gets a signal; exits 128 + number)
// [thread-safe]
#pragma once
#include "dagger/plugin/executor.h"

namespace dagger::testing {

class RemoteExecutor final : public plugin::Executor {
 public:
  static constexpr char settings_schema[] =
      R"({"type": "object", "description": "an executor without local mounts", "properties": {}})";

  RemoteExecutor(plugin::Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  plugin::ExecutorTraits traits() const override;
  std::unique_ptr<plugin::Running> start(const plugin::ExecRequest& request, const plugin::Stdio& stdio,
                                         plugin::LayerTransfer& transfer, plugin::CallContext& ctx) override;
};

}  // namespace dagger::testing
