// core/plugin/isolation/conversation.h — one call of an isolated plugin, or one object that a call handed out: sends
// the call, answers what the plugin asks, watches for cancellation and for the end of the process.
//
// For the thread of the caller. Where the plugin asks on several threads, each further one is answered on a thread of
// its own, which begins when the caller's thread next waits for the plugin, and ends with the call. Errors: what the
// plugin threw; plugin_fault when its process ended, did not return within 2 s of being cancelled (it is killed then),
// or said what makes no sense (killed as well).
#pragma once
#include <chrono>
#include <map>
#include <thread>

#include "core/plugin/isolation/supervisor.h"
#include "dagger/plugin/secret_provider.h"

namespace dagger::plugin::isolation {

// Whom the plugin may ask during a call. All outlive it.
struct Caller {
  CallContext* context = nullptr;
  SecretContext* secret = nullptr;  // the same object, for a secret provider
  SourceSink* sink = nullptr;       // of a source
  ByteStream* input = nullptr;      // what a cache is to store
};

class Conversation {
 public:
  Conversation(Supervisor& plugin, Caller caller);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  // name: the method as people know it.
  Message call(Method method, const char* name, std::string_view body, std::size_t max_reply = max_body_bytes);
  template <class Reply, class Args>
  Reply call(Method method, const char* name, const Args& args, std::size_t max_reply = max_body_bytes) {
    return decode<Reply>(call(method, name, std::string_view(cbor::pack(args)), max_reply));
  }
  // The caller has gone; what was handed out stays.
  void forget_caller();
  template <class T>
  T decode(const Message& message) {
    try {
      return cbor::unpack<T>(message.body);
    } catch (const Error& e) {
      broken(e.what());
    }
  }
  [[noreturn]] void broken(const std::string& what);  // the plugin's process said what makes no sense
  const Process& process() const noexcept { return *process_; }

 private:
  // Further threads of the plugin that ask.
  struct Side {
    std::unique_ptr<Channel> channel;
    std::thread thread;
  };
  // One thread that speaks with the process.
  struct Voice {
    Channel& channel;
    bool main;
    std::size_t max_reply = max_body_bytes;
    int depth = 0;
  };
  class PulledStream;
  struct Answer {
    std::string body;
    std::vector<UniqueFd> fds;
  };
  using Clock = std::chrono::steady_clock;

  Message next(Voice& voice);  // what is neither an ask nor a note
  bool wait(Voice& voice);     // false: the process ended, nothing is left to read
  void tell_cancelled();
  int patience_ms() const;
  [[noreturn]] void give_up();
  void serve(Voice& voice, const Message& ask);
  Answer answer(Voice& voice, const Message& ask);
  Answer answer_source(Voice& voice, const Message& ask);
  Answer answer_secret(const Message& ask);
  void note(Voice& voice, Message& note);
  void open_side(Message& note);
  void serve_side(Channel& channel);
  void close_sides();
  std::shared_ptr<SourceSink::Directory> directory(const Message& ask);

  const std::shared_ptr<Process> process_;
  Caller caller_;
  Line line_;
  const char* name_ = "";
  bool clean_ = false;  // the line may be used again
  bool told_ = false;   // that it is cancelled
  Clock::time_point deadline_;
  std::vector<Side> sides_;
  std::mutex mutex_;  // of what follows
  std::map<std::uint64_t, std::shared_ptr<SourceSink::Directory>> directories_;
  std::uint64_t next_directory_ = 1;
};

}  // namespace dagger::plugin::isolation
