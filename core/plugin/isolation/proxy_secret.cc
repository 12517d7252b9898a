#include "core/plugin/isolation/conversation.h"
#include "core/plugin/isolation/proxy.h"

namespace dagger::plugin::isolation {
namespace {

class SecretProxy final : public Proxy<SecretProvider> {
 public:
  using Proxy::Proxy;
  std::vector<std::string> schemes() const override { return plugin_->started().offered; }
  UniqueFd open(std::string_view scheme, std::string_view rest, SecretContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx, .secret = &ctx});
    auto reply = talk.call(Method::open, "open", cbor::pack(OpenCall{std::string(scheme), std::string(rest)}));
    return reply.fds.empty() ? UniqueFd() : std::move(reply.fds[0]);
  }
};

}  // namespace

std::unique_ptr<Plugin> make_secret_proxy(SupervisorPtr plugin) {
  return std::make_unique<SecretProxy>(std::move(plugin));
}

}  // namespace dagger::plugin::isolation
