// cli/render/line_writer.h — writes text to an fd that may be slow, or read by nobody, without ever holding up the
// caller.
//
// A side thread writes; what does not fit the bounded buffer is dropped, and a line says so. [thread-safe]
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "dagger/plugin/unique_fd.h"

namespace dagger::cli {

class LineWriter {
 public:
  explicit LineWriter(int fd, std::size_t limit = 1 << 20);
  ~LineWriter();  // gives a reader that keeps reading the time to read the rest
  void write(std::string_view text) noexcept;

 private:
  void serve();
  bool write_some(std::string_view& text, int timeout_ms);

  int fd_;
  std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::string pending_;
  bool dropped_ = false, stopping_ = false;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace dagger::cli
