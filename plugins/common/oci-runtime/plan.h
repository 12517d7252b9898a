// plugins/common/oci-runtime/plan.h — what the executor tells its helper, and what the helper answers.
//
// The executor decides, the helper only carries out: a plan is a list of steps in a memfd (fd 3 of the helper),
// the answer is one Answer written to fd 4. Both ends are built together; nothing else reads this. Plain data without
// the C++ library, since the helper is a small static program.
#pragma once
#include <cstdint>

namespace dagger::oci {

enum class StepKind : std::uint32_t {
  join_cgroup,  // write "0" to fd (cgroup.procs)
  join_netns,   // setns to fd
  new_netns,    // a network namespace with nothing but loopback, which is up
  proc,         // mount a procfs of the new pid namespace on /proc
  detach,       // lazy unmount of path, as often as something is mounted there
  tmpfs,        // mount one on path; text: options
  directory,    // mkdir path with mode
  file,         // write text to a new file at path; mode, uid, gid
  attach,       // move the detached mount fd to path
  run,          // last: text: argv, each ended by NUL; path: the runtime's pid file
};

constexpr int plan_fd = 3, answer_fd = 4, first_free_fd = 5;
constexpr unsigned max_exec_fds = 240;  // 0, 1 and 2 among them; one message on a unix socket carries 253
// Where the runtime writes its log; the helper sends its end when the runtime fails.
constexpr const char* runtime_log_name = "log";

// In the plan: a Step, then path and text, each followed by NUL, then padding to 8 bytes.
struct Step {
  StepKind kind;
  std::int32_t fd;  // -1: none
  std::uint32_t mode, uid, gid;
  std::uint32_t path_size, text_size;  // without the NUL
};

enum class Outcome : std::uint32_t { exited, signaled, not_started };

struct Answer {
  static constexpr std::uint32_t max_text = 3000;  // an Answer is written at once: below PIPE_BUF
  Outcome outcome;
  std::int32_t code;
  std::uint64_t cpu_usec, memory_peak_bytes;  // of the container's first process and its children that it waited for
  std::uint32_t text_size;                    // not_started: the runtime's log, or what the helper could not do
  char text[max_text];
};

// A number in the siginfo of this signal asks the helper to send that signal to the container's first process.
inline constexpr int relay_signal = 40;

}  // namespace dagger::oci
