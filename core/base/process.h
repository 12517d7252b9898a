// core/base/process.h — children by pidfd, started from one permanent thread.
//
// PR_SET_PDEATHSIG fires when the spawning *thread* ends, so all children of a Spawner come from its own thread and die
// with the process (or the Spawner). No code of ours runs between fork and exec but raw system calls. Never SIGCHLD,
// never waitpid(-1).
#pragma once
#include <signal.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "dagger/plugin/unique_fd.h"

namespace dagger {

// What a program got from whoever started it, beside arguments, environment and resource limits (which nobody changes).
struct Inherited {
  mode_t umask = 022;
  sigset_t blocked{}, ignored{};
  std::vector<int> files;  // above 2, open across exec

  // To be called while there is one thread, before anything of this is changed. The files are no longer open across
  // exec then.
  static Inherited take();
};

struct SpawnRequest {
  std::vector<std::string> argv;  // argv[0]: absolute path of the program
  std::vector<std::string> env;   // "NAME=value"; the whole environment
  int stdio[3] = {-1, -1, -1};    // -1: /dev/null
  std::vector<int> keep;          // become 3, 4, ... in this order; every other fd is closed by O_CLOEXEC
  std::string cwd = "/";          // ".": this process's own
  std::uint64_t clone_flags = 0;  // CLONE_NEW*
  bool die_with_parent = true;    // SIGKILL when the spawner ends
  bool new_session = false;       // setsid()
  // Handed on unchanged; without it umask 022, no signal blocked or ignored, no other files. Not together with keep.
  const Inherited* inherited = nullptr;
};

// A started child. Destroying it kills (SIGKILL) and reaps it, unless wait() has done so or it was released.
class Child {
 public:
  Child() = default;
  Child(UniqueFd pidfd, pid_t pid) : pidfd_(std::move(pidfd)), pid_(pid) {}
  Child(Child&&) noexcept = default;
  Child& operator=(Child&& o) noexcept;
  ~Child();
  explicit operator bool() const noexcept { return static_cast<bool>(pidfd_); }
  int fd() const noexcept { return pidfd_.get(); }  // readable when it has ended
  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const noexcept;
  struct Status {
    bool exited = false;  // else killed by a signal
    int code = 0;         // exit code or signal number
  };
  Status wait();  // blocks until it has ended, and reaps it
  UniqueFd release() { return std::move(pidfd_); }

 private:
  UniqueFd pidfd_;
  pid_t pid_ = -1;
};

class Spawner {
 public:
  Spawner();
  ~Spawner();  // children that die with their parent die now
  // Throws not_found (no such program), internal. [thread-safe]
  Child spawn(const SpawnRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string signal_text(int number);  // "signal SEGV"

// The first match of name in a ":"-separated search path (or name itself if it has a '/'); empty if there is none.
std::string find_program(const std::string& name, const std::string& path);

}  // namespace dagger
