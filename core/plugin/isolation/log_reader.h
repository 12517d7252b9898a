// core/plugin/isolation/log_reader.h — what the processes of isolated plugins say, into the engine's log.
//
// One thread for all of them. Each process has a packet socket as its stdout and stderr: a packet that begins with
// log_mark and a level comes from Host::log(), every other one is text that somebody wrote. Lines are shortened and
// their number is bounded by the log itself, which drops what it cannot take. [thread-safe]
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/log.h"
#include "dagger/plugin/plugin.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::plugin::isolation {

inline constexpr char log_mark = '\x01';  // followed by '0' + LogLevel

class LogReader {
 public:
  explicit LogReader(Log& log);  // which outlives it
  ~LogReader();                  // what was said before is written
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  // label is put in front of each line. Read until the other end is closed.
  void add(UniqueFd socket, std::string label);
  void warn(std::string_view line) noexcept { log_.warn(line); }

 private:
  struct Speaker {
    UniqueFd socket;
    std::string label;
  };
  void run();
  bool read_one(int fd);  // false: nothing there, or the end
  void write(const std::string& label, std::string_view packet);

  Log& log_;
  UniqueFd epoll_, stop_;
  std::mutex mutex_;
  std::map<int, Speaker> speakers_;  // by fd
  std::thread thread_;
};

}  // namespace dagger::plugin::isolation
