// core/plugin/isolation/host/server.h — calls of the engine become calls of the plugin, each channel on a thread.
//
// The engine uses a channel for one call at a time, and again when it has ended. An object that a call hands out lives
// on the thread of its channel until the engine closes it.
#pragma once
#include <atomic>
#include <list>
#include <thread>

#include "core/plugin/isolation/channel.h"
#include "core/plugin/loader.h"

namespace dagger::plugin::isolation {

// What the plugin says of itself. Throws plugin_fault.
Started describe(const LoadedPlugin& plugin);

class Server {
 public:
  explicit Server(Plugin& plugin, const Manifest& manifest);  // both outlive it
  ~Server();  // waits for every call; the engine has closed its channels
  void serve(UniqueFd channel, UniqueFd cancel);

 private:
  struct Worker {
    std::atomic<bool> done = false;
    std::thread thread;
  };
  void run(Channel& channel, int cancel) const;
  // Hands the method of one call to the plugin, and its objects to the engine. False: the channel is of no use.
  bool handle(Channel& channel, int cancel, const Message& call) const;
  void handle_source(Channel& channel, int cancel, const Message& call) const;
  void handle_secret(Channel& channel, int cancel, const Message& call) const;
  bool handle_network(Channel& channel, int cancel, const Message& call) const;
  bool handle_cache(Channel& channel, int cancel, const Message& call) const;
  bool lend_stream(Channel& channel, std::unique_ptr<ByteStream> stream) const;

  Plugin& plugin_;
  const std::string kind_, label_;
  std::list<Worker> workers_;
};

}  // namespace dagger::plugin::isolation
