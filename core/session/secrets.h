// core/session/secrets.h — secrets by name: values that setSecret gave, and URIs that secret plugins resolve.
//
// Values live in this object's memory only: in no id, log or error. Control thread; plugins run on the pool.
// Errors: not_found for a name that has no value here, with the remedy; what the plugin throws, in its words.
#pragma once
#include <map>
#include <string>

#include "core/base/pool.h"
#include "core/base/task.h"
#include "core/plugin/registry.h"
#include "core/session/client.h"
#include "core/session/shared_work.h"

namespace dagger::session {

class Secrets {
 public:
  Secrets(Loop& loop, Pool& pool, const plugin::Registry& plugins, const Client& client)
      : loop_(loop), pool_(pool), plugins_(plugins), client_(client), resolved_(loop) {}

  void set(std::string name, std::string plaintext) { values_[std::move(name)] = std::move(plaintext); }
  bool known(const std::string& name) const { return values_.contains(name); }
  // For a URI: once per session.
  Task<std::string> value(std::string name, CancelToken cancel);
  Task<void> join() { return resolved_.join(); }

  // Throws invalid_argument for what is no URI of a secret ("scheme://rest" or "scheme:rest").
  static void check_uri(const std::string& uri);

 private:
  Task<std::string> resolve(std::string uri, CancelToken cancel);
  Loop& loop_;
  Pool& pool_;
  const plugin::Registry& plugins_;
  const Client& client_;
  std::map<std::string, std::string> values_;
  SharedWork<std::string> resolved_;
};

}  // namespace dagger::session
