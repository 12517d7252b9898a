// dagger/plugin/network.h — gives an exec its network class.
//
// attach() makes whatever the class needs before the exec starts. The simplest (host) needs nothing; a bridge makes a
// network namespace; a user-mode network starts a process that serves one. Names are the engine's: it knows the address
// of every exec it runs as a service, and writes it into the hosts files of those that use the service.
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
  std::string group;     // execs of one group may reach each other (a service and its users), others must not
};

enum class Namespace { host, isolated, joined };  // joined: use netns_fd()

// The network of one exec. Destroying it takes everything down, also when the exec still runs. One thread at a time.
class Attachment {
 public:
  virtual ~Attachment() = default;
  virtual Namespace netns() const noexcept = 0;
  // A network namespace that is ready to use, for Namespace::joined; else -1. Belongs to the attachment.
  virtual int netns_fd() const noexcept = 0;
  // Where other execs of the group reach this one, IPv4 or IPv6 without a prefix length; empty: nowhere, so that no
  // exec of this class can be a service.
  virtual std::vector<std::string> addresses() const { return {}; }
  // Full text of /etc/resolv.conf for the container; empty: the host's, if netns() is host, else none.
  virtual std::string resolv_conf() const = 0;
  // Names the container must be able to resolve beside the caller's own (written to /etc/hosts).
  virtual std::vector<HostEntry> hosts() const = 0;
  // Becomes readable when the network is lost (its process died) while the exec runs: the exec fails. -1: never.
  virtual int lost_fd() const noexcept { return -1; }
};

// [thread-safe] [blocking]
class Network : public Plugin {
 public:
  static constexpr const char* kind = "network";
  // The class this plugin provides: "host", "none", "bridge", ... The configuration maps classes to plugins.
  virtual std::string network_class() const = 0;
  // Throws unsupported (this machine cannot), unavailable (no address is free), cancelled.
  virtual std::unique_ptr<Attachment> attach(const NetworkRequest& request, CallContext& ctx) = 0;
};

}  // namespace dagger::plugin
