// core/base/pool.h — a bounded set of threads for blocking work (file system, hashing, plugin calls).
//
// Work on a pool never touches control state and never waits for other work of the same pool. [thread-safe]
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/function.h"

namespace dagger {

class Pool {
 public:
  Pool(std::string name, unsigned threads);
  ~Pool();  // finishes what is queued, then joins
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void submit(Function<void()> work);  // work must not throw

 private:
  void serve();
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace dagger
