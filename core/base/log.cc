#include "core/base/log.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <unistd.h>

#include <mutex>

namespace dagger {
namespace {

// Writes to a borrowed fd. Errors (a closed stderr) are ignored: there is nobody left to tell. A reader that does not
// read gets 100 ms, then loses this line and those that follow, until it reads again: the end of the program must not
// wait for a full queue. poll(2) promises room for PIPE_BUF bytes, so write(2) itself does not block.
class FdSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FdSink(int fd) : fd_(fd) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    for (std::size_t at = 0; at < line.size();) {
      pollfd ready{fd_, POLLOUT, 0};
      stuck_ = ::poll(&ready, 1, stuck_ ? 0 : 100) == 0;
      if (stuck_ || (ready.revents & (POLLOUT | POLLERR)) != POLLOUT) return;
      const ssize_t n = ::write(fd_, line.data() + at, std::min<std::size_t>(line.size() - at, 4096));
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  void flush_() override {}

 private:
  int fd_;
  bool stuck_ = false;
};

// Signals belong to the main thread, and SIGPIPE to nobody.
void block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

spdlog::level::level_enum to_spdlog(Level level) {
  return static_cast<spdlog::level::level_enum>(level == Level::off ? 6 : static_cast<int>(level));
}

}  // namespace

// The thread pool gives the side thread: a reader that stops reading stops only that thread, and the bounded queue
// drops.
struct Log::State {
  State(Level level, spdlog::sink_ptr sink)
      : threads(std::make_shared<spdlog::details::thread_pool>(1024, 1, block_signals)),
        logger(std::make_shared<spdlog::async_logger>("dagger", std::move(sink), threads,
                                                      spdlog::async_overflow_policy::overrun_oldest)) {
    logger->set_level(to_spdlog(level));
    logger->set_pattern("%H:%M:%S.%e %L %v");
  }
  std::shared_ptr<spdlog::details::thread_pool> threads;
  std::shared_ptr<spdlog::async_logger> logger;
};

Log::Log(Level level, int fd) : state_(std::make_unique<State>(level, std::make_shared<FdSink>(fd))) {}
Log::Log(Level level, const char* file)
    : state_(std::make_unique<State>(level, std::make_shared<spdlog::sinks::basic_file_sink_mt>(file))) {}
Log::~Log() = default;

void Log::write(Level level, std::string_view line) noexcept {
  try {
    state_->logger->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {  // a log never fails its caller
  }
}

}  // namespace dagger
