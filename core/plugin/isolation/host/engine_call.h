// core/plugin/isolation/host/engine_call.h — what a plugin sees of the engine during one call: its context, sink and
// streams, all of them messages on the call's channel.
//
// A plugin may use them from several threads. The first one that asks speaks on the call's own channel; one that asks
// while that is taken opens a line of its own, so that nobody waits for another's answer. Notes are sent at once.
// Lives until the call has returned. Errors: what the engine answered; unavailable when it is gone.
#pragma once
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/plugin/isolation/channel.h"
#include "dagger/plugin/secret_provider.h"

namespace dagger::plugin::isolation {

class EngineCall final : public SecretContext {
 public:
  // Both belong to the channel's thread. cancel_fd is readable once the call is cancelled.
  EngineCall(Channel& channel, int cancel_fd) : channel_(channel), cancel_fd_(cancel_fd) {}

  bool cancelled() const noexcept override;
  int cancel_fd() const noexcept override { return cancel_fd_; }
  void log(LogLevel level, std::string_view line) noexcept override;
  void progress(std::string_view what, std::int64_t done, std::int64_t total) noexcept override;
  std::optional<Credentials> credentials(std::string_view realm) override;
  UniqueFd open_socket(std::string_view socket_id) override;
  UniqueFd open_secret(std::string_view secret_id) override;
  std::optional<std::string> prompt(std::string_view text, bool hidden) override;
  std::optional<std::string> client_env(std::string_view name) override;
  std::string client_cwd() override;

  // Asks and waits; pulled: what the engine may read meanwhile.
  Message ask(Ask what, std::string_view body, ByteStream* pulled = nullptr);

 private:
  // On which a thread speaks; free where depth is 0.
  struct Line {
    std::unique_ptr<Channel> own;  // null: the call's channel
    std::thread::id owner;
    int depth = 0;
  };
  class Turn;

  Channel& channel_;
  const int cancel_fd_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Line>> lines_;
};

class EngineSink final : public SourceSink {
 public:
  explicit EngineSink(EngineCall& call) : call_(call) {}
  bool have(const SourceLayer& layer) override;
  void tar(const SourceLayer& layer, ByteStream& stream) override;
  std::unique_ptr<Directory> directory(const SourceLayer& layer) override;

 private:
  EngineCall& call_;
};

// What a cache is to store.
class EngineStream final : public ByteStream {
 public:
  explicit EngineStream(EngineCall& call) : call_(call) {}
  std::size_t read(void* buffer, std::size_t size) override;

 private:
  EngineCall& call_;
};

// Reads a stream of the plugin and sends what it gave, or its error. body: a Number.
void send_piece(Channel& channel, ByteStream& stream, std::string_view body);

}  // namespace dagger::plugin::isolation
