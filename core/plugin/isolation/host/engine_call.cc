#include "core/plugin/isolation/host/engine_call.h"

#include <poll.h>

#include <cstring>

#include "core/plugin/guard_call.h"

namespace dagger::plugin::isolation {
namespace {

constexpr std::size_t max_note = 16 * 1024;

UniqueFd only_fd(Message& answer) { return answer.fds.empty() ? UniqueFd() : std::move(answer.fds.front()); }

std::optional<std::string> one_or_none(const Message& answer) {
  auto texts = cbor::unpack<Texts>(answer.body).texts;
  return texts.empty() ? std::nullopt : std::optional(std::move(texts[0]));
}

Text text(std::string_view v) { return {std::string(v)}; }

}  // namespace

// Which line this thread speaks on: the one it speaks on already, a free one, or a new one.
class EngineCall::Turn {
 public:
  explicit Turn(EngineCall& call) : call_(call) {
    const std::lock_guard lock(call_.mutex_);
    const auto me = std::this_thread::get_id();
    for (auto& line : call_.lines_)
      if (line->depth > 0 && line->owner == me) line_ = line.get();
    for (auto& line : call_.lines_)
      if (line_ == nullptr && line->depth == 0) line_ = line.get();
    if (line_ == nullptr) line_ = call_.lines_.emplace_back(std::make_unique<Line>(open())).get();
    line_->owner = me;
    ++line_->depth;
  }
  ~Turn() {
    const std::lock_guard lock(call_.mutex_);
    --line_->depth;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Channel& channel() const { return line_->own ? *line_->own : call_.channel_; }

 private:
  Line open() const {
    if (call_.lines_.empty()) return {};
    auto [mine, theirs] = Channel::pair();
    call_.channel_.send(Kind::note, Note::line, "", {theirs.get()});
    return {std::make_unique<Channel>(std::move(mine)), {}, 0};
  }
  EngineCall& call_;
  Line* line_ = nullptr;
};

Message EngineCall::ask(Ask what, std::string_view body, ByteStream* pulled) {
  const Blame unblamed(nullptr, "");
  const Turn turn(*this);
  auto& channel = turn.channel();
  channel.send(Kind::ask, what, body);
  while (auto message = channel.receive()) {
    if (message->kind == Kind::answer) return std::move(*message);
    if (message->kind == Kind::failure) throw to_error(cbor::unpack<Failure>(message->body));
    if (message->kind != Kind::pull || pulled == nullptr) break;
    send_piece(channel, *pulled, message->body);
  }
  throw Error(Code::unavailable, "the engine does not wait for this call any more");
}

bool EngineCall::cancelled() const noexcept {
  pollfd p{cancel_fd_, POLLIN, 0};
  return ::poll(&p, 1, 0) > 0;
}

void EngineCall::log(LogLevel level, std::string_view line) noexcept {
  try {
    channel_.send(Kind::note, Note::log, cbor::pack(LogNote{level, std::string(line.substr(0, max_note))}));
  } catch (...) {  // a log never fails its caller
  }
}

void EngineCall::progress(std::string_view what, std::int64_t done, std::int64_t total) noexcept {
  try {
    channel_.send(Kind::note, Note::progress,
                  cbor::pack(ProgressNote{std::string(what.substr(0, max_note)), done, total}));
  } catch (...) {  // as above
  }
}

std::optional<Credentials> EngineCall::credentials(std::string_view realm) {
  auto some = cbor::unpack<MaybeCredentials>(ask(Ask::credentials, cbor::pack(text(realm))).body).some;
  return some.empty() ? std::nullopt : std::optional(std::move(some[0]));
}

UniqueFd EngineCall::open_socket(std::string_view socket_id) {
  auto answer = ask(Ask::open_socket, cbor::pack(text(socket_id)));
  return only_fd(answer);
}

UniqueFd EngineCall::open_secret(std::string_view secret_id) {
  auto answer = ask(Ask::open_secret, cbor::pack(text(secret_id)));
  return only_fd(answer);
}

std::optional<std::string> EngineCall::prompt(std::string_view shown, bool hidden) {
  return one_or_none(ask(Ask::prompt, cbor::pack(PromptAsk{std::string(shown), hidden})));
}

std::optional<std::string> EngineCall::client_env(std::string_view name) {
  return one_or_none(ask(Ask::client_env, cbor::pack(text(name))));
}

std::string EngineCall::client_cwd() { return cbor::unpack<Text>(ask(Ask::client_cwd, "").body).text; }

// ---- sink ----

bool EngineSink::have(const SourceLayer& layer) {
  return cbor::unpack<Number>(call_.ask(Ask::have, cbor::pack(layer)).body).number != 0;
}

void EngineSink::tar(const SourceLayer& layer, ByteStream& stream) { call_.ask(Ask::tar, cbor::pack(layer), &stream); }

namespace {

class EngineDirectory final : public SourceSink::Directory {
 public:
  EngineDirectory(EngineCall& call, std::uint64_t number, UniqueFd fd)
      : call_(call), number_(number), fd_(std::move(fd)) {}
  ~EngineDirectory() override {
    try {
      call_.ask(Ask::directory_drop, cbor::pack(Number{number_}));
    } catch (...) {  // the call has ended, and it with it
    }
  }
  EngineDirectory(const EngineDirectory&) = delete;
  EngineDirectory& operator=(const EngineDirectory&) = delete;
  int fd() const noexcept override { return fd_.get(); }
  void done() override { call_.ask(Ask::directory_done, cbor::pack(Number{number_})); }

 private:
  EngineCall& call_;
  const std::uint64_t number_;
  const UniqueFd fd_;
};

}  // namespace

std::unique_ptr<SourceSink::Directory> EngineSink::directory(const SourceLayer& layer) {
  auto answer = call_.ask(Ask::directory, cbor::pack(layer));
  return std::make_unique<EngineDirectory>(call_, cbor::unpack<Number>(answer.body).number, only_fd(answer));
}

// ---- streams ----

std::size_t EngineStream::read(void* buffer, std::size_t size) {
  const auto wanted = std::min(size, max_inline_bytes);
  const auto piece = call_.ask(Ask::read, cbor::pack(Number{wanted})).body;
  if (piece.size() > wanted) throw Error(Code::internal, "the engine sent more than it was asked for");
  std::memcpy(buffer, piece.data(), piece.size());
  return piece.size();
}

void send_piece(Channel& channel, ByteStream& stream, std::string_view body) {
  const auto wanted = cbor::unpack<Number>(body).number;
  std::string piece(std::min<std::uint64_t>(wanted, max_inline_bytes), '\0');
  try {
    const auto n = detail::translated([&] { return stream.read(piece.data(), piece.size()); });
    if (n > piece.size())
      throw Error(Code::plugin_fault,
                  "read " + std::to_string(n) + " bytes into a buffer of " + std::to_string(piece.size()));
    piece.resize(n);
  } catch (const Error& e) {
    return channel.fail(e);
  }
  channel.send(Kind::piece, 0, piece);
}

}  // namespace dagger::plugin::isolation
