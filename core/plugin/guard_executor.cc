#include <set>

#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

class GuardedRunning final : public Running {
 public:
  GuardedRunning(const std::string& label, std::unique_ptr<Running> running)
      : label_(label), running_(std::move(running)) {}
  ~GuardedRunning() override { detail::destroy(label_, running_); }
  int done_fd() const noexcept override { return running_->done_fd(); }
  void signal(int number) override {
    detail::guarded(label_, "Running::signal", [&] { running_->signal(number); });
  }
  ExecStats stats() const override {
    return detail::guarded(label_, "Running::stats", [&] { return running_->stats(); });
  }
  ExecStatus wait(CallContext& ctx) override {
    return detail::guarded(label_, "Running::wait", [&] {
      auto status = running_->wait(ctx);
      if (status.kind < ExitKind::exited || status.kind > ExitKind::not_started)
        fault("returned the exit kind " + std::to_string(static_cast<int>(status.kind)));
      if (status.kind == ExitKind::not_started && status.message.empty())
        fault("returned not_started without saying why");
      return status;
    });
  }
  std::vector<ExecOutput> outputs(CallContext& ctx) override {
    return detail::guarded(label_, "Running::outputs", [&] {
      auto outputs = running_->outputs(ctx);
      std::set<std::string> names;
      for (const auto& o : outputs)
        if (o.name.empty() || !names.insert(o.name).second)
          fault("returned an output without a name, or one name twice");
      return outputs;
    });
  }

 private:
  const std::string& label_;
  std::unique_ptr<Running> running_;
};

std::unique_ptr<Running> checked(const std::string& label, std::unique_ptr<Running> running) {
  if (!running) fault("returned no running exec");
  if (running->done_fd() < 0) fault("returned a running exec without done_fd()");
  return std::make_unique<GuardedRunning>(label, std::move(running));
}

// Streams of the plugin are guarded before the host reads them.
class GuardedTransfer final : public LayerTransfer {
 public:
  GuardedTransfer(const std::string& label, LayerTransfer& transfer) : label_(label), transfer_(transfer) {}
  std::unique_ptr<ByteStream> read(const Layer& layer, std::string_view form) override {
    return detail::unblamed([&] { return transfer_.read(layer, form); });
  }
  Layer write(ByteStream& stream, std::string_view form) override {
    detail::GuardedStream guarded(label_, stream);
    return detail::unblamed([&] { return transfer_.write(guarded, form); });
  }

 private:
  const std::string& label_;
  LayerTransfer& transfer_;
};

// The transfer stays valid while the exec runs, so its guard lives as long.
class TransferringRun final : public Running {
 public:
  TransferringRun(std::unique_ptr<GuardedTransfer> transfer, std::unique_ptr<Running> running)
      : transfer_(std::move(transfer)), running_(std::move(running)) {}
  int done_fd() const noexcept override { return running_->done_fd(); }
  void signal(int number) override { running_->signal(number); }
  ExecStats stats() const override { return running_->stats(); }
  ExecStatus wait(CallContext& ctx) override { return running_->wait(ctx); }
  std::vector<ExecOutput> outputs(CallContext& ctx) override { return running_->outputs(ctx); }

 private:
  std::unique_ptr<GuardedTransfer> transfer_;
  std::unique_ptr<Running> running_;
};

class GuardedLocalExecutor final : public LocalExecutor {
 public:
  GuardedLocalExecutor(const std::string& label, LocalExecutor& inner) : label_(label), inner_(inner) {}
  std::unique_ptr<Running> start_local(const ExecRequest& request, const LocalExec& local, const Stdio& stdio,
                                       CallContext& ctx) override {
    return detail::guarded(label_, "LocalExecutor::start_local",
                           [&] { return checked(label_, inner_.start_local(request, local, stdio, ctx)); });
  }

 private:
  const std::string& label_;
  LocalExecutor& inner_;
};

class GuardedExecutor final : public detail::GuardBase<Executor> {
 public:
  explicit GuardedExecutor(LoadedPlugin plugin) : GuardBase(std::move(plugin)) {
    if (auto* local = static_cast<LocalExecutor*>(GuardBase::capability(LocalExecutor::capability_id)))
      local_.emplace(label_, *local);
  }
  void* capability(std::string_view id) noexcept override {
    if (id != LocalExecutor::capability_id) return GuardBase::capability(id);
    return local_ ? static_cast<LocalExecutor*>(&*local_) : nullptr;
  }
  ExecutorTraits traits() const override {
    return call("traits", [&] { return inner_.traits(); });
  }
  std::unique_ptr<Running> start(const ExecRequest& request, const Stdio& stdio, LayerTransfer& transfer,
                                 CallContext& ctx) override {
    return call("start", [&]() -> std::unique_ptr<Running> {
      auto guarded = std::make_unique<GuardedTransfer>(label_, transfer);
      auto running = checked(label_, inner_.start(request, stdio, *guarded, ctx));
      return std::make_unique<TransferringRun>(std::move(guarded), std::move(running));
    });
  }

 private:
  std::optional<GuardedLocalExecutor> local_;
};

}  // namespace

std::unique_ptr<Executor> guard_executor(LoadedPlugin plugin) {
  return std::make_unique<GuardedExecutor>(std::move(plugin));
}

}  // namespace dagger::plugin
