// core/plugin/isolation/threads.h — threads that no signal is delivered to: signals belong to the main thread.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

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

// name: a literal of 15 bytes at most.
template <class F>
std::thread start_thread(const char* name, F&& run) {
  const auto blocked = all_but_fatal_signals();
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  std::thread thread([name, run = std::forward<F>(run)]() mutable {
    ::prctl(PR_SET_NAME, name);  // of another thread it would take a file
    run();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace dagger::plugin::isolation
