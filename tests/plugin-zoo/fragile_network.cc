// A network whose process ends when an exec is called "abort": those that are attached have lost theirs.
#include <fcntl.h>

#include <cstdlib>

#include "dagger/plugin/export.h"
#include "dagger/plugin/network.h"
namespace {

using namespace dagger;
using namespace dagger::plugin;

struct Joined final : Attachment {
  Namespace netns() const noexcept override { return Namespace::joined; }
  int netns_fd() const noexcept override { return fd.get(); }
  std::vector<std::string> addresses() const override { return {"10.0.0.1", "::1"}; }
  std::string resolv_conf() const override { return "nameserver 10.0.0.2\n"; }
  std::vector<HostEntry> hosts() const override { return {{"gateway", "10.0.0.3"}}; }
  UniqueFd fd{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
};

struct FragileNetwork final : Network {
  FragileNetwork(Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return R"({"type": "object"})"; }
  std::string network_class() const override { return "fragile"; }
  std::unique_ptr<Attachment> attach(const NetworkRequest& request, CallContext&) override {
    if (request.hostname == "abort") std::abort();
    return std::make_unique<Joined>();
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Network, FragileNetwork, "fragile_network", "1.0.0", "Zoo");
