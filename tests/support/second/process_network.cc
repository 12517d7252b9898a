#include "tests/support/second/process_network.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/fs.h"

namespace dagger::testing {
namespace {

// The number behind a pidfd, as the kernel tells it in /proc.
std::string pid_of(int pidfd) {
  const auto info = read_file("/proc/self/fdinfo/" + std::to_string(pidfd));
  const auto at = info.find("Pid:\t");
  if (at == std::string::npos) throw Error(Code::internal, "the kernel does not tell the process of a pidfd");
  return info.substr(at + 5, info.find('\n', at) - at - 5);
}

class ProcessAttachment final : public plugin::Attachment {
 public:
  explicit ProcessAttachment(UniqueFd process)
      : process_(std::move(process)), netns_(open_file("/proc/" + pid_of(process_.get()) + "/ns/net", O_RDONLY)) {}
  ~ProcessAttachment() override {
    ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED);
  }
  ProcessAttachment(const ProcessAttachment&) = delete;
  ProcessAttachment& operator=(const ProcessAttachment&) = delete;

  plugin::Namespace netns() const noexcept override { return plugin::Namespace::joined; }
  int netns_fd() const noexcept override { return netns_.get(); }
  std::string resolv_conf() const override { return "# no name server in a namespace of its own\n"; }
  std::vector<plugin::HostEntry> hosts() const override { return {{"gateway.process", "127.0.0.1"}}; }
  int lost_fd() const noexcept override { return process_.get(); }

 private:
  UniqueFd process_, netns_;
};

}  // namespace

std::unique_ptr<plugin::Attachment> ProcessNetwork::attach(const plugin::NetworkRequest&, plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
  plugin::Host::Spawn keeper;
  keeper.argv = {"/bin/sleep", "infinity"};
  keeper.clone_flags = CLONE_NEWNET;
  return std::make_unique<ProcessAttachment>(host_.spawn(keeper));
}

}  // namespace dagger::testing
