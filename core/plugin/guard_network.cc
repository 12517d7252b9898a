#include <arpa/inet.h>

#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

bool is_address(const std::string& text) {
  in6_addr any{};
  return ::inet_pton(AF_INET, text.c_str(), &any) == 1 || ::inet_pton(AF_INET6, text.c_str(), &any) == 1;
}

class GuardedAttachment final : public Attachment {
 public:
  GuardedAttachment(const std::string& label, std::unique_ptr<Attachment> inner)
      : label_(label), inner_(std::move(inner)) {}
  ~GuardedAttachment() override { detail::destroy(label_, inner_); }
  Namespace netns() const noexcept override { return inner_->netns(); }
  int netns_fd() const noexcept override { return inner_->netns_fd(); }
  std::vector<std::string> addresses() const override {
    return detail::guarded(label_, "Attachment::addresses", [&] {
      auto addresses = inner_->addresses();
      for (const auto& a : addresses)
        if (!is_address(a)) fault("returned the address '" + a + "'");
      return addresses;
    });
  }
  std::string resolv_conf() const override {
    return detail::guarded(label_, "Attachment::resolv_conf", [&] { return inner_->resolv_conf(); });
  }
  std::vector<HostEntry> hosts() const override {
    return detail::guarded(label_, "Attachment::hosts", [&] {
      auto hosts = inner_->hosts();
      for (const auto& h : hosts) {  // each becomes a line of /etc/hosts
        if (h.name.empty() || h.name.find_first_of(" \t\n#") != std::string::npos || !is_address(h.address))
          fault("returned the host entry '" + h.address + " " + h.name + "'");
      }
      return hosts;
    });
  }
  int lost_fd() const noexcept override { return inner_->lost_fd(); }

 private:
  const std::string& label_;
  std::unique_ptr<Attachment> inner_;
};

class GuardedNetwork final : public detail::GuardBase<Network> {
 public:
  using GuardBase::GuardBase;
  std::string network_class() const override {
    return call("network_class", [&] {
      auto name = inner_.network_class();
      if (name.empty()) fault("provides a network class without a name");
      return name;
    });
  }
  std::unique_ptr<Attachment> attach(const NetworkRequest& request, CallContext& ctx) override {
    return call("attach", [&]() -> std::unique_ptr<Attachment> {
      auto attachment = inner_.attach(request, ctx);
      if (!attachment) fault("returned no attachment");
      if ((attachment->netns() == Namespace::joined) != (attachment->netns_fd() >= 0))
        fault("returned netns_fd() " + std::to_string(attachment->netns_fd()) + ", which does not fit its netns()");
      return std::make_unique<GuardedAttachment>(label_, std::move(attachment));
    });
  }
};

}  // namespace

std::unique_ptr<Network> guard_network(LoadedPlugin plugin) {
  return std::make_unique<GuardedNetwork>(std::move(plugin));
}

}  // namespace dagger::plugin
