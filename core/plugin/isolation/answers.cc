// What the plugin of a conversation may ask, and the engine's answers.
#include <fcntl.h>

#include <cstring>

#include "core/base/fs.h"
#include "core/plugin/isolation/conversation.h"

namespace dagger::plugin::isolation {
namespace {

constexpr std::size_t max_directories = 1024;  // that are being filled at once

template <class T>
std::string one_or_none(const std::optional<T>& value) {
  Texts texts;
  if (value) texts.texts.push_back(*value);
  return cbor::pack(texts);
}

}  // namespace

// A stream in the plugin's process, read while it waits for the answer to its tar().
class Conversation::PulledStream final : public ByteStream {
 public:
  PulledStream(Conversation& talk, Voice& voice) : talk_(talk), voice_(voice) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const auto wanted = std::min(size, max_inline_bytes);
    try {
      voice_.channel.send(Kind::pull, 0, cbor::pack(Number{wanted}));
    } catch (const Error&) {
      throw talk_.process_->ended();
    }
    const auto message = talk_.next(voice_);
    if (message.kind == Kind::failure) throw to_error(talk_.decode<Failure>(message));
    if (message.kind != Kind::piece) talk_.broken("a stream was read and gave no bytes");
    if (message.body.size() > size)
      talk_.broken("read " + std::to_string(message.body.size()) + " bytes into a buffer of " + std::to_string(size));
    std::memcpy(buffer, message.body.data(), message.body.size());
    return message.body.size();
  }

 private:
  Conversation& talk_;
  Voice& voice_;
};

Conversation::Answer Conversation::answer(Voice& voice, const Message& ask) {
  Answer a;
  auto& context = *caller_.context;
  switch (static_cast<Ask>(ask.what)) {
    case Ask::credentials: {
      MaybeCredentials some;
      if (auto found = context.credentials(decode<Text>(ask).text)) some.some.push_back(std::move(*found));
      a.body = cbor::pack(some);
      return a;
    }
    case Ask::open_socket:
      a.fds.push_back(context.open_socket(decode<Text>(ask).text));
      return a;
    case Ask::open_secret:
      a.fds.push_back(context.open_secret(decode<Text>(ask).text));
      return a;
    case Ask::prompt:
    case Ask::client_env:
    case Ask::client_cwd:
      return answer_secret(ask);
    case Ask::have:
    case Ask::tar:
    case Ask::directory:
    case Ask::directory_done:
    case Ask::directory_drop:
      return answer_source(voice, ask);
    case Ask::read: {
      if (caller_.input == nullptr) broken("it reads a stream that it was not given");
      a.body.resize(std::min<std::uint64_t>(decode<Number>(ask).number, max_inline_bytes));
      a.body.resize(caller_.input->read(a.body.data(), a.body.size()));
      return a;
    }
  }
  broken("it asks for something unknown");
}

Conversation::Answer Conversation::answer_secret(const Message& ask) {
  if (caller_.secret == nullptr) broken("it asks for what only a secret provider may know");
  switch (static_cast<Ask>(ask.what)) {
    case Ask::prompt: {
      const auto p = decode<PromptAsk>(ask);
      return {one_or_none(caller_.secret->prompt(p.text, p.hidden)), {}};
    }
    case Ask::client_env:
      return {one_or_none(caller_.secret->client_env(decode<Text>(ask).text)), {}};
    default:
      return {cbor::pack(Text{caller_.secret->client_cwd()}), {}};
  }
}

Conversation::Answer Conversation::answer_source(Voice& voice, const Message& ask) {
  if (caller_.sink == nullptr) broken("it delivers though nothing was to be delivered");
  Answer a;
  switch (static_cast<Ask>(ask.what)) {
    case Ask::have:
      a.body = cbor::pack(Number{caller_.sink->have(decode<SourceLayer>(ask)) ? 1U : 0U});
      return a;
    case Ask::tar: {
      PulledStream stream(*this, voice);
      caller_.sink->tar(decode<SourceLayer>(ask), stream);
      return a;
    }
    case Ask::directory: {
      std::shared_ptr<SourceSink::Directory> made = caller_.sink->directory(decode<SourceLayer>(ask));
      a.fds.emplace_back(::fcntl(made->fd(), F_DUPFD_CLOEXEC, 0));
      if (!a.fds[0]) throw_errno("hand out a directory");
      const std::lock_guard lock(mutex_);
      if (directories_.size() >= max_directories) throw Error(Code::plugin_fault, "fills too many directories at once");
      a.body = cbor::pack(Number{next_directory_});
      directories_[next_directory_++] = std::move(made);
      return a;
    }
    case Ask::directory_done:
      directory(ask)->done();
      return a;
    default: {
      const auto dropped = directory(ask);
      const std::lock_guard lock(mutex_);
      directories_.erase(decode<Number>(ask).number);
      return a;
    }
  }
}

std::shared_ptr<SourceSink::Directory> Conversation::directory(const Message& ask) {
  const auto number = decode<Number>(ask).number;
  const std::lock_guard lock(mutex_);
  const auto found = directories_.find(number);
  if (found == directories_.end()) broken("it speaks of a directory that it was not given");
  return found->second;
}

}  // namespace dagger::plugin::isolation
