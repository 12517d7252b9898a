// plugins/common/fixed-network/fixed_network.h — a network class that needs nothing made: only which namespace it is.
#pragma once
#include <memory>

#include "dagger/plugin/network.h"

namespace dagger::plugins {

class FixedAttachment final : public plugin::Attachment {
 public:
  explicit FixedAttachment(plugin::Namespace netns) : netns_(netns) {}
  plugin::Namespace netns() const noexcept override { return netns_; }
  int netns_fd() const noexcept override { return -1; }
  std::string resolv_conf() const override { return {}; }
  std::vector<plugin::HostEntry> hosts() const override { return {}; }

 private:
  plugin::Namespace netns_;
};

// [thread-safe] schema: one without settings; it outlives the object.
class FixedNetwork : public plugin::Network {
 public:
  FixedNetwork(const char* network_class, plugin::Namespace netns, std::string_view schema)
      : class_(network_class), netns_(netns), schema_(schema) {}
  std::string_view config_schema() const noexcept override { return schema_; }
  std::string network_class() const override { return class_; }
  std::unique_ptr<plugin::Attachment> attach(const plugin::NetworkRequest&, plugin::CallContext&) override {
    return std::make_unique<FixedAttachment>(netns_);
  }

 private:
  const char* class_;
  plugin::Namespace netns_;
  std::string_view schema_;
};

}  // namespace dagger::plugins
