#include "core/plugin/isolation/conversation.h"
#include "core/plugin/isolation/proxy.h"

namespace dagger::plugin::isolation {
namespace {

// Destroyed there when it is destroyed here. A joined namespace is lost with the plugin's process, which may serve it,
// unless the plugin itself says how its loss is seen.
class AttachmentProxy final : public Attachment {
 public:
  explicit AttachmentProxy(std::unique_ptr<Conversation> talk, Message reply)
      : talk_(std::move(talk)), known_(talk_->decode<Attached>(reply)) {
    if (reply.fds.size() != std::size_t{known_.has_netns} + std::size_t{known_.has_lost})
      talk_->broken("an attachment has too many or too few fds");
    if (known_.has_netns) netns_ = std::move(reply.fds.front());
    if (known_.has_lost) lost_ = std::move(reply.fds.back());
  }
  ~AttachmentProxy() override {
    try {
      talk_->call(Method::close, "Attachment::destructor", "");
    } catch (const Error&) {  // what is left of it went with the process
    }
  }
  AttachmentProxy(const AttachmentProxy&) = delete;
  AttachmentProxy& operator=(const AttachmentProxy&) = delete;

  Namespace netns() const noexcept override { return known_.netns; }
  int netns_fd() const noexcept override { return netns_.get(); }
  std::vector<std::string> addresses() const override { return known_.addresses; }
  std::string resolv_conf() const override { return known_.resolv_conf; }
  std::vector<HostEntry> hosts() const override { return known_.hosts; }
  int lost_fd() const noexcept override {
    return lost_ || known_.netns != Namespace::joined ? lost_.get() : talk_->process().pidfd();
  }

 private:
  const std::unique_ptr<Conversation> talk_;
  const Attached known_;
  UniqueFd netns_, lost_;
};

class NetworkProxy final : public Proxy<Network> {
 public:
  using Proxy::Proxy;
  std::string network_class() const override {
    const auto& offered = plugin_->started().offered;
    return offered.empty() ? std::string() : offered[0];
  }
  std::unique_ptr<Attachment> attach(const NetworkRequest& request, CallContext& ctx) override {
    auto talk = std::make_unique<Conversation>(*plugin_, Caller{.context = &ctx});
    auto reply = talk->call(Method::attach, "attach", cbor::pack(request));
    talk->forget_caller();
    if (reply.body.empty()) return nullptr;
    return std::make_unique<AttachmentProxy>(std::move(talk), std::move(reply));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_network_proxy(SupervisorPtr plugin) {
  return std::make_unique<NetworkProxy>(std::move(plugin));
}

}  // namespace dagger::plugin::isolation
