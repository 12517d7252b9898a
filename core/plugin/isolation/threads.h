// core/plugin/isolation/threads.h — threads that no signal is delivered to: signals belong to the main thread.
#pragma once
#include <pthread.h>
#include <signal.h>

#include <string>
#include <thread>
#include <utility>

namespace dagger::plugin::isolation {

// Those that tell of a crash stay open: blocked, they would end the process without a report.
inline sigset_t all_but_fatal_signals() {
  sigset_t signals;
  ::sigfillset(&signals);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigdelset(&signals, fatal);
  return signals;
}

template <class F>
std::thread start_thread(const char* name, F&& run) {
  const auto blocked = all_but_fatal_signals();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  std::thread thread(std::forward<F>(run));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread.native_handle(), name);
  return thread;
}

}  // namespace dagger::plugin::isolation
