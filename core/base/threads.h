// core/base/threads.h — threads that no signal is delivered to but those of their own faults: all others belong to the
// main thread.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <string>
#include <thread>
#include <utility>

namespace dagger {

// Those that tell of a crash are not among them: blocked, they would end the process without a report.
inline sigset_t all_but_fatal_signals() {
  sigset_t signals;
  ::sigfillset(&signals);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigdelset(&signals, fatal);
  return signals;
}

// For a scope: new threads inherit what is blocked.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    const auto blocked = all_but_fatal_signals();
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

// name: 15 bytes at most.
template <class F>
std::thread start_thread(std::string name, F&& run) {
  const SignalsBlocked blocked;
  return std::thread([name = std::move(name), run = std::forward<F>(run)]() mutable {
    ::prctl(PR_SET_NAME, name.c_str());  // of another thread it would take a file
    run();
  });
}

}  // namespace dagger
