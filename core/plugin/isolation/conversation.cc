#include "core/plugin/isolation/conversation.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cstring>

#include "core/base/threads.h"
#include "core/plugin/blame.h"

namespace dagger::plugin::isolation {
namespace {

constexpr std::chrono::seconds patience_without_context(10);
constexpr std::size_t max_sides = 64;
constexpr int max_depth = 16;

}  // namespace

Conversation::Conversation(Supervisor& plugin, Caller caller)
    : process_(plugin.process()), caller_(caller), line_(process_->take_line()) {}

Conversation::~Conversation() {
  close_sides();
  if (clean_ && !told_) process_->give_back(std::move(line_));
}

Message Conversation::call(Method method, const char* name, std::string_view body, std::size_t max_reply) {
  const Blame engine(nullptr, "");  // a crash of this process while it waits is not the plugin's
  name_ = name, clean_ = false;
  deadline_ = Clock::now() + patience_without_context;
  if (caller_.context != nullptr && caller_.context->cancelled()) tell_cancelled();
  try {
    line_.channel.send(Kind::call, method, body);
  } catch (const Error&) {
    throw process_->ended();
  }
  Voice voice{line_.channel, true, max_reply};
  auto message = next(voice);
  close_sides();
  if (message.kind != Kind::reply && message.kind != Kind::failure && message.kind != Kind::piece)
    broken("a call ended with a message of kind " + std::to_string(static_cast<int>(message.kind)));
  clean_ = true;
  if (message.kind != Kind::failure) return message;
  throw to_error(decode<Failure>(message));
}

void Conversation::forget_caller() { caller_ = {}; }

void Conversation::broken(const std::string& what) {
  process_->kill("it broke the protocol: " + what);
  throw process_->ended();
}

// ---- waiting ----

void Conversation::tell_cancelled() {
  told_ = true;
  deadline_ = Clock::now() + process_->grace();
  ::eventfd_write(line_.cancel.get(), 1);
}

// Without a context (a destructor) a call has a time of its own; with one it has as long as nobody cancels it.
int Conversation::patience_ms() const {
  if (caller_.context != nullptr && !told_) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

void Conversation::give_up() {
  const std::chrono::milliseconds allowed = told_ ? process_->grace() : patience_without_context;
  process_->kill(std::string(name_) + "() did not return within " + std::to_string(allowed.count()) + " ms" +
                 (told_ ? " of being cancelled" : ""));
  throw process_->ended();
}

bool Conversation::wait(Voice& voice) {
  for (;;) {
    const bool watch = voice.main && caller_.context != nullptr && !told_;
    pollfd fds[3] = {{voice.channel.fd(), POLLIN, 0},
                     {process_->pidfd(), POLLIN, 0},
                     {watch ? caller_.context->cancel_fd() : -1, POLLIN, 0}};
    const int n = ::poll(fds, 3, voice.main ? patience_ms() : -1);
    if (n < 0 && errno != EINTR) throw Error(Code::internal, "poll failed");
    if (voice.main && told_ && Clock::now() >= deadline_) give_up();  // also when it never stops talking
    if (n == 0 && voice.main) give_up();
    if (n <= 0) continue;
    if (watch && fds[2].revents != 0) tell_cancelled();
    if (fds[0].revents != 0) return true;
    if (fds[1].revents != 0) return false;
  }
}

Message Conversation::next(Voice& voice) {
  for (;;) {
    std::optional<Message> message;
    try {
      if (wait(voice)) message = voice.channel.receive(voice.max_reply);
    } catch (const Error& e) {
      if (e.code() == Code::corrupt_data) broken(e.what());
      throw;
    }
    if (!message) throw process_->ended();
    if (message->kind == Kind::note) {
      note(voice, *message);
    } else if (message->kind == Kind::ask) {
      serve(voice, *message);
    } else {
      return std::move(*message);
    }
  }
}

// ---- further threads of the plugin ----

void Conversation::open_side(Message& note) {
  if (note.fds.size() != 1 || sides_.size() >= max_sides) broken("it opened too many lines, or one without a socket");
  auto channel = std::make_unique<Channel>(std::move(note.fds[0]));
  Channel& served = *channel;
  sides_.push_back({std::move(channel), start_thread("plugin-side", [this, &served] { serve_side(served); })});
}

void Conversation::serve_side(Channel& channel) {
  Voice voice{channel, false};
  try {
    while (wait(voice)) {
      auto message = channel.receive();
      if (!message) return;
      if (message->kind != Kind::ask) broken("a line that is for asking has another message");
      serve(voice, *message);
    }
  } catch (const Error& e) {  // the caller sees the end of the process
    if (e.code() == Code::corrupt_data) process_->kill(std::string("it broke the protocol: ") + e.what());
  } catch (...) {  // an answer failed in a way that cannot be told; the plugin sees the end of the line
  }
  channel.shut_down();
}

void Conversation::close_sides() {
  for (auto& side : sides_) side.channel->shut_down();
  for (auto& side : sides_) side.thread.join();
  sides_.clear();
  const std::lock_guard lock(mutex_);
  directories_.clear();
}

// ---- answers ----

void Conversation::serve(Voice& voice, const Message& ask) {
  if (caller_.context == nullptr) broken("it asks though there is no call");
  if (voice.depth >= max_depth) broken("it asks within " + std::to_string(max_depth) + " answers");
  const auto began = Clock::now();
  ++voice.depth;
  try {
    Answer a;
    try {
      a = answer(voice, ask);
    } catch (const Error& e) {
      voice.channel.fail(e);
      a.fds.clear();
      --voice.depth;
      return;
    }
    std::vector<int> fds;
    for (const auto& fd : a.fds) fds.push_back(fd.get());
    voice.channel.send(Kind::answer, ask.what, a.body, fds);
  } catch (const Error&) {  // it cannot be told
    throw process_->ended();
  }
  --voice.depth;
  if (voice.main && told_) deadline_ += Clock::now() - began;  // it waited for us
}

void Conversation::note(Voice& voice, Message& note) {
  if (caller_.context == nullptr || !voice.main) broken("it says something though there is no call");
  switch (static_cast<Note>(note.what)) {
    case Note::log: {
      const auto n = decode<LogNote>(note);
      return caller_.context->log(n.level, n.line);
    }
    case Note::progress: {
      const auto n = decode<ProgressNote>(note);
      return caller_.context->progress(n.what, n.done, n.total);
    }
    case Note::line:
      return open_side(note);
  }
  broken("it says something unknown");
}

}  // namespace dagger::plugin::isolation
