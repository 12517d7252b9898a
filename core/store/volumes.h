// core/store/volumes.h — directories of cache volumes. [thread-safe] [blocking]
#pragma once
#include <condition_variable>
#include <mutex>
#include <set>

#include "core/store/store.h"

namespace dagger::store {

class Layout;
class Sweeper;

class Volumes {
 public:
  Volumes(const Layout& layout, Sweeper& sweeper) : layout_(layout), sweeper_(sweeper) {}  // both outlive this
  // Two first calls for one instance: the second waits until the first has filled it.
  Store::Volume get(const Digest& instance, Function<void(int root_fd)> fill);

 private:
  class Turn;
  const Layout& layout_;
  Sweeper& sweeper_;
  std::mutex mutex_;
  std::condition_variable made_;
  std::set<Digest> making_;
};

}  // namespace dagger::store
