#include "core/plugin/isolation/supervisor.h"

namespace dagger::plugin::isolation {

std::optional<std::chrono::seconds> RestartLimit::try_restart(Time now) {
  while (!restarts_.empty() && now - restarts_.front() >= span) restarts_.pop_front();
  if (restarts_.size() >= restarts) return std::chrono::ceil<std::chrono::seconds>(span - (now - restarts_.front()));
  restarts_.push_back(now);
  return std::nullopt;
}

Supervisor::Supervisor(Launch launch, Spawner& spawner, LogReader& logs)
    : launch_(std::move(launch)),
      spawner_(spawner),
      logs_(logs),
      process_(std::make_shared<Process>(launch_, spawner_, logs_)),
      started_(process_->started()) {}

std::shared_ptr<Process> Supervisor::process() {
  const std::lock_guard lock(mutex_);
  if (process_ && process_->running()) return process_;
  if (const auto wait = limit_.try_restart(std::chrono::steady_clock::now())) {
    throw Error(Code::plugin_fault, "its process ended too often: it was started " +
                                        std::to_string(RestartLimit::restarts) +
                                        " times again within a minute, and is not for the next " +
                                        std::to_string(wait->count()) + " s; the log says how it ended");
  }
  if (process_) logs_.warn(launch_.label + ": " + process_->ended().message());
  process_.reset();
  try {
    if (launch_.check) launch_.check();
    process_ = std::make_shared<Process>(launch_, spawner_, logs_);
  } catch (const Error& e) {
    throw Error(Code::plugin_fault, std::string("its process cannot be started again: ") + e.what());
  }
  return process_;
}

}  // namespace dagger::plugin::isolation
