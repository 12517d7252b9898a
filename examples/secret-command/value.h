// A secret on its way from a pipe into a sealed memory file. The kernel moves the bytes: no copy of them is ever in
// this process's heap, and so in no core file. One thread. Errors: invalid_argument (larger than the limit), internal.
#pragma once
#include <dagger/plugin/unique_fd.h>

#include <cstdint>

namespace secret_command {

class Value {
 public:
  explicit Value(std::int64_t limit);
  // Takes what the pipe (O_NONBLOCK) has now. False: the pipe has ended.
  bool take(int pipe);
  void cut_newline();  // one, at the end, if there is one
  // A memory file that nobody can change any more, positioned at 0.
  dagger::UniqueFd seal();

 private:
  const std::int64_t limit_;
  std::int64_t size_ = 0;
  dagger::UniqueFd file_;
};

}  // namespace secret_command
