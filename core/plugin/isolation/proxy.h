// core/plugin/isolation/proxy.h — the interfaces of plugins over a process. As thread-safe as the interfaces.
//
// What a plugin says of itself (schema, schemes, class, traits) is asked once, when its process starts. A capability
// cannot be handed into another process: there is none. What is known of an attachment is asked for when it is made.
#pragma once
#include <memory>

#include "core/plugin/isolation/supervisor.h"

namespace dagger::plugin::isolation {

using SupervisorPtr = std::unique_ptr<Supervisor>;

std::unique_ptr<Plugin> make_source_proxy(SupervisorPtr plugin);
std::unique_ptr<Plugin> make_secret_proxy(SupervisorPtr plugin);
std::unique_ptr<Plugin> make_network_proxy(SupervisorPtr plugin);
std::unique_ptr<Plugin> make_cache_proxy(SupervisorPtr plugin);

// Common to all.
template <class Interface>
class Proxy : public Interface {
 public:
  explicit Proxy(SupervisorPtr plugin) : plugin_(std::move(plugin)) {}
  std::string_view config_schema() const noexcept override { return plugin_->started().config_schema; }

 protected:
  const SupervisorPtr plugin_;
};

}  // namespace dagger::plugin::isolation
