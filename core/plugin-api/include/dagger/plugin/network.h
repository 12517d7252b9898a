// dagger/plugin/network.h — gives an exec its network class.
//
// attach() makes whatever the class needs before the exec starts. The simplest (host) needs nothing; a bridge makes a
// network namespace; a user-mode network starts a process that serves one.
#pragma once
#include <memory>

#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

struct HostEntry {
  std::string name, address;
};

struct NetworkRequest {
  std::string exec_id;   // unique in this engine; for names of interfaces and logs
  std::string hostname;  // of the container
};

enum class Namespace { host, isolated, joined };  // joined: use netns_fd()

// The network of one exec. Destroying it takes everything down, also when the exec still runs. One thread at a time.
class Attachment {
 public:
  virtual ~Attachment() = default;
  virtual Namespace netns() const noexcept = 0;
  // A network namespace that is ready to use, for Namespace::joined; else -1. Belongs to the attachment.
  virtual int netns_fd() const noexcept = 0;
  // Full text of /etc/resolv.conf for the container; empty: the host's, if netns() is host, else none.
  virtual std::string resolv_conf() const = 0;
  // Names the container must be able to resolve beside the caller's own (written to /etc/hosts).
  virtual std::vector<HostEntry> hosts() const = 0;
  // Becomes readable when the network is lost (its process died); -1: never.
  virtual int lost_fd() const noexcept { return -1; }
};

// [thread-safe] [blocking]
class Network : public Plugin {
 public:
  static constexpr const char* kind = "network";
  // The class this plugin provides: "host", "none", "bridge", ... The configuration maps classes to plugins.
  virtual std::string network_class() const = 0;
  virtual std::unique_ptr<Attachment> attach(const NetworkRequest& request, CallContext& ctx) = 0;
};

}  // namespace dagger::plugin
