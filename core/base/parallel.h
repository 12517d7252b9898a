// core/base/parallel.h — one piece of blocking work done by several threads, which share it among themselves. Not for
// the control thread. For work whose parts are too small for a pool's queue, or that runs on a pool already.
#pragma once
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace dagger {

// How many threads are worth it for work that waits for the disk as well.
inline unsigned parallel_threads() { return std::clamp(std::thread::hardware_concurrency(), 2U, 4U); }

// each(i) for all i below count, on up to `threads` threads, one of them the caller. After an exception no further i is
// begun; it is rethrown once all threads have ended.
template <class Each>
void for_each_index(std::size_t count, unsigned threads, Each each) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&] {
    try {
      for (auto i = next.fetch_add(1); i < count; i = next.fetch_add(1)) each(i);
    } catch (...) {
      next = count;
      const std::scoped_lock lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < std::min<std::size_t>(threads, count); ++i) others.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace dagger
