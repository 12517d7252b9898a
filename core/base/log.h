// core/base/log.h — the program's own diagnostics (not the logs of steps: those are events). Created in main and passed
// down by reference. [thread-safe], never throws, never blocks on an unread stderr: lines that do not fit are dropped.
#pragma once
#include <memory>
#include <string_view>

namespace dagger {

enum class Level { trace, debug, info, warn, error, off };

class Log {
 public:
  // fd: where lines go (not owned), made non-blocking through a side thread. file: when not empty, used instead.
  Log(Level level, int fd);
  Log(Level level, const char* file);
  ~Log();
  void write(Level level, std::string_view line) noexcept;
  void debug(std::string_view line) noexcept { write(Level::debug, line); }
  void info(std::string_view line) noexcept { write(Level::info, line); }
  void warn(std::string_view line) noexcept { write(Level::warn, line); }
  void error(std::string_view line) noexcept { write(Level::error, line); }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dagger
