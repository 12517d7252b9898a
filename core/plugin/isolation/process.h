// core/plugin/isolation/process.h — one run of the process of an isolated plugin, as the engine sees it.
//
// Started by the spawner's permanent thread in a session of its own, with this engine's environment; it dies with the
// engine. Nothing of the engine is open in it but its end of a control socket; stdout and stderr go to the log. Ends in
// the destructor: asked to, killed after 2 s. [thread-safe]
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/process.h"
#include "core/plugin/isolation/channel.h"
#include "core/plugin/isolation/log_reader.h"

namespace dagger::plugin::isolation {

struct Launch {
  std::string program;  // dagger-plugin-host
  std::string label;    // "source plugin 'git'"
  Start start;
  std::function<void()> check;                                // of the file, before it is started again; throws
  std::chrono::milliseconds grace = std::chrono::seconds(2);  // for a call that is cancelled
};

// A channel for one call at a time. cancel is readable in the plugin's process once the call is cancelled.
struct Line {
  Channel channel;
  UniqueFd cancel;
};

class Process {
 public:
  // Returns when the plugin is loaded. Throws what its loading threw there, plugin_fault when the process ended, or
  // did not answer within 30 s.
  Process(const Launch& launch, Spawner& spawner, LogReader& logs);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const Started& started() const noexcept { return started_; }
  std::chrono::milliseconds grace() const noexcept { return grace_; }
  int pidfd() const noexcept { return pidfd_.get(); }  // readable when it has ended
  bool running() const;

  // One that is idle, or a new one. Throws plugin_fault.
  Line take_line();
  // Only after a whole conversation that was not cancelled.
  void give_back(Line line);

  void kill(std::string reason);  // the first reason counts
  // For a caller who lost it: how it ended, as plugin_fault. Kills it if it has not ended in 2 s.
  Error ended();

 private:
  void start(const Launch& launch);
  [[noreturn]] void fail_start();
  void end_locked();

  const std::chrono::milliseconds grace_;
  mutable std::mutex mutex_;
  Child child_;     // until it was waited for
  UniqueFd pidfd_;  // stays open for those who poll
  std::string kill_reason_, end_;
  bool loaded_ = false;
  Started started_;
  std::unique_ptr<Channel> control_;
  std::vector<Line> idle_;
};

}  // namespace dagger::plugin::isolation
