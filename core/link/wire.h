// core/link/wire.h — the file descriptors under a link: one socket, or a pair of pipes. Non-blocking.
//
// Errors are returned as -errno, as their users act on the number. One receiving and one sending thread at a time.
#pragma once
#include <sys/types.h>
#include <sys/uio.h>

#include "core/link/outbox.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::link {

class Wire {
 public:
  Wire() = default;
  explicit Wire(UniqueFd socket);   // throws Error where fd is no socket
  Wire(UniqueFd in, UniqueFd out);  // pipes

  ssize_t receive(char* to, std::size_t size);
  ssize_t send(Batch& batch);  // what is left of it; advances it
  ssize_t send(std::string_view bytes);
  void end();  // the other end reads the end after what was sent
  void close() noexcept { in_.reset(), out_.reset(); }

  int in() const noexcept { return in_.get(); }
  int out() const noexcept { return out_ ? out_.get() : in_.get(); }
  // Pipes raise SIGPIPE, which only the I/O thread blocks.
  bool any_thread_may_send() const noexcept { return !out_; }

 private:
  ssize_t send_some(const ::iovec* parts, std::size_t n);
  UniqueFd in_, out_;
};

}  // namespace dagger::link
