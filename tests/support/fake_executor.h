// tests/support/fake_executor.h — a local executor whose processes are threads that run small programs, and a network
// class for them.
//
// A program is known by args[0]:
//   true | exit N | echo WORDS... | err WORDS... | env NAME | stdin (to stdout) | secret TARGET (a secret's bytes to
//   stdout) | write PATH TEXT | fail N PATH TEXT (writes, prints to both streams, exits) | cat PATH... |
//   append TARGET TEXT (a line to "log" in what is mounted at TARGET) | wait GATE WORDS... (until the gate opens, then
//   echoes; ends on a signal) | leak WORDS... (echoes, and its output is never closed) | stubborn GATE (ignores
//   SIGTERM) | broken (cannot be started)
// Tests wait for what happens by conditions, never by time. [thread-safe]
#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "dagger/plugin/executor.h"
#include "dagger/plugin/network.h"

namespace dagger::testing {

class FakeExecutor final : public plugin::Executor, public plugin::LocalExecutor {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  void* capability(std::string_view id) noexcept override {
    return id == capability_id ? static_cast<plugin::LocalExecutor*>(this) : nullptr;
  }
  plugin::ExecutorTraits traits() const override { return {}; }
  std::unique_ptr<plugin::Running> start(const plugin::ExecRequest&, const plugin::Stdio&, plugin::LayerTransfer&,
                                         plugin::CallContext&) override;
  std::unique_ptr<plugin::Running> start_local(const plugin::ExecRequest& request, const plugin::LocalExec& local,
                                               const plugin::Stdio& stdio, plugin::CallContext& ctx) override;

  void open(const std::string& gate);
  // Commands are args joined by spaces.
  void wait_until_started(const std::string& command, unsigned times = 1);
  void wait_until_signalled(const std::string& command, int number);
  unsigned started(const std::string& command) const;
  unsigned started() const;  // all together
  std::vector<std::string> order() const;
  std::vector<int> signals(const std::string& command) const;  // SIGKILL: destroyed while it ran
  std::string exec_id(const std::string& command) const;       // of the last one that was started
  unsigned most_at_once() const;
  unsigned running() const;

 private:
  class Process;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::set<std::string> gates_;
  std::vector<UniqueFd> leaked_;
  std::vector<std::string> order_;
  std::map<std::string, std::vector<int>> signals_;
  std::map<std::string, std::string> exec_ids_;
  unsigned running_ = 0, most_ = 0;
};

class FakeNetwork final : public plugin::Network {
 public:
  std::string_view config_schema() const noexcept override { return "{}"; }
  std::string network_class() const override { return "host"; }
  std::unique_ptr<plugin::Attachment> attach(const plugin::NetworkRequest&, plugin::CallContext&) override;
};

}  // namespace dagger::testing
