// core/store/digester.h — computes the digests of sealed layers on background threads of low priority. [thread-safe]
#pragma once
#include <atomic>

#include "core/base/pool.h"
#include "core/store/index.h"

namespace dagger {
class Log;
}

namespace dagger::store {

class Journal;
class Layout;

class Digester {
 public:
  // All referenced things outlive the digester.
  Digester(unsigned threads, const Layout& layout, Index& index, Journal& journal, Log& log);
  ~Digester();  // abandons what is queued: the next start goes on with it
  void add(LayerId id);

 private:
  void digest(LayerId id);
  const Layout& layout_;
  Index& index_;
  Journal& journal_;
  Log& log_;
  std::atomic<bool> stop_{false};
  Pool pool_;
};

}  // namespace dagger::store
