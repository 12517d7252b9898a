// tests/support/fake_host.h — the host's side of the plugin interface for tests that use a plugin's class directly.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/fs.h"
#include "core/base/process.h"
#include "dagger/plugin/plugin.h"

namespace dagger::testing {

// Logs into memory, keeps state in a temporary directory, spawns for real.
class FakeHost final : public plugin::Host {
 public:
  explicit FakeHost(std::string install_dir = "") : install_dir_(std::move(install_dir)) {}
  void log(plugin::LogLevel, std::string_view message) noexcept override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(message);
  }
  std::string_view state_dir() const noexcept override { return state_.path(); }
  std::string_view install_dir() const noexcept override { return install_dir_; }
  UniqueFd spawn(const Spawn& s) override {
    SpawnRequest r;
    r.argv = s.argv, r.env = s.env, r.keep = s.keep, r.clone_flags = s.clone_flags, r.new_session = true;
    for (int i = 0; i < 3; ++i) r.stdio[i] = s.stdio[i];
    return spawner_.spawn(r).release();
  }
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  TempDir state_;
  std::string install_dir_;
  Spawner spawner_;
};

// A call that can be cancelled from another thread; answers credentials from a table.
class FakeContext final : public plugin::CallContext {
 public:
  explicit FakeContext(CancelToken token = {}) : token_(std::move(token)) {}
  bool cancelled() const noexcept override { return token_.cancelled(); }
  int cancel_fd() const noexcept override { return token_.fd(); }
  void log(plugin::LogLevel, std::string_view line) noexcept override {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
    if (on_log) on_log();
  }
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<plugin::Credentials> credentials(std::string_view realm) override {
    const auto found = known_credentials.find(std::string(realm));
    if (found == known_credentials.end()) return std::nullopt;
    return found->second;
  }
  UniqueFd open_socket(std::string_view id) override { throw Error(Code::not_found, "no socket " + std::string(id)); }
  UniqueFd open_secret(std::string_view id) override { throw Error(Code::not_found, "no secret " + std::string(id)); }

  std::map<std::string, plugin::Credentials> known_credentials;
  std::function<void()> on_log;
  std::vector<std::string> lines() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  CancelToken token_;
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace dagger::testing
