// plugins/common/oci-runtime/running.h — the engine's side of a started exec.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "dagger/plugin/executor.h"
#include "plugins/common/oci-runtime/cgroups.h"

namespace dagger::oci {

// What a process that was to run command could not be started for: where it is the command's fault, worded alike for
// all runtimes and with the command first ("exec: "foo": executable file not found in $PATH"); else the runtime's
// reason. Pure.
std::string start_error(std::string_view command, std::string reason);

// Owns the pidfd of the exec's process, the pipe with its answer and the exec's cgroup. [thread-safe]
class OciRunning final : public plugin::Running {
 public:
  OciRunning(std::string command, UniqueFd pidfd, UniqueFd answer, std::unique_ptr<ExecCgroup> cgroup)
      : command_(std::move(command)),
        pidfd_(std::move(pidfd)),
        answer_(std::move(answer)),
        cgroup_(std::move(cgroup)) {}
  ~OciRunning() override;
  int done_fd() const noexcept override { return pidfd_.get(); }
  void signal(int number) override;
  plugin::ExecStats stats() const override;
  plugin::ExecStatus wait(plugin::CallContext& ctx) override;
  std::vector<plugin::ExecOutput> outputs(plugin::CallContext&) override { return {}; }

 private:
  plugin::ExecStatus read_status();
  void await_end() const noexcept;
  std::string command_;
  UniqueFd pidfd_, answer_;
  std::unique_ptr<ExecCgroup> cgroup_;
  mutable std::mutex mutex_;
  std::optional<plugin::ExecStatus> status_;
  plugin::ExecStats at_end_;
};

// The last error in a runtime's log of JSON lines; the text itself where it is none. Pure.
std::string runtime_error(std::string_view log);

}  // namespace dagger::oci
