// A running command with its output. The host gives it a session of its own, so that ending it takes along what it has
// started. One thread.
#pragma once
#include <dagger/plugin/plugin.h>
#include <signal.h>

#include <string>
#include <vector>

namespace secret_command {

class Child {
 public:
  // argv[0] is an absolute path. Throws not_found, internal.
  Child(dagger::plugin::Host& host, const std::vector<std::string>& argv, std::vector<std::string> env);
  ~Child();  // ends it, if it still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int out() const noexcept { return out_.get(); }       // O_NONBLOCK
  int err() const noexcept { return err_.get(); }       // O_NONBLOCK
  int end_fd() const noexcept { return pidfd_.get(); }  // readable once it has ended
  // Of one that has ended: empty after exit 0, else how ("ended with 3").
  std::string failure();

 private:
  void kill() const noexcept;
  siginfo_t reap() noexcept;
  dagger::UniqueFd out_, err_, pidfd_;
  int pid_ = 0;  // of pidfd_; ours until it is reaped
};

}  // namespace secret_command
