#include "core/base/pool.h"

#include "core/base/threads.h"

namespace dagger {

Pool::Pool(std::string name, unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.push_back(start_thread(name.substr(0, 15), [this] { serve(); }));
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (auto& t : threads_) t.join();
}

void Pool::submit(Function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  ready_.notify_one();
}

void Pool::serve() {
  for (;;) {
    Function<void()> work;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace dagger
