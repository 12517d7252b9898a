// Well-behaved, and uses all that the engine offers; the location says what. The pin's digest tells what came of it.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "zoo.h"
namespace {

using namespace dagger;
using namespace dagger::plugin;

std::string read_fd(int fd) {
  char buffer[256];
  const auto n = ::read(fd, buffer, sizeof buffer);
  return n < 0 ? "unreadable" : std::string(buffer, static_cast<std::size_t>(n));
}

// Each piece is one letter; before it f is called.
template <class F>
struct Letters final : ByteStream {
  Letters(std::size_t count, F before) : left(count), f(std::move(before)) {}
  std::size_t read(void* buffer, std::size_t size) override {
    f();
    const auto n = std::min<std::size_t>({left, size, 1});
    std::memset(buffer, 'a', n);
    left -= n;
    return n;
  }
  std::size_t left;
  F f;
};

SourceLayer layer(std::string id) { return {std::move(id), "", "", -1, {}}; }

// Several threads deliver at once, and ask while the others' streams are read.
void deliver_from_threads(SourceSink& sink, CallContext& ctx) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&sink, &ctx, i] {
      Letters stream(20, [&] {
        ctx.credentials("nested");
        ctx.progress("letters", 1, 20);
      });
      sink.tar(layer("thread-" + std::to_string(i)), stream);
    });
  }
  for (auto& t : threads) t.join();
}

// The stream that the engine reads goes on only when another thread has got an answer.
void wait_for_another_thread(SourceSink& sink, CallContext& ctx) {
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false, wanted = false;
  std::thread other([&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return wanted; });
    lock.unlock();
    ctx.credentials("from another thread");
    lock.lock();
    asked = true;
    changed.notify_all();
  });
  Letters stream(1, [&] {
    std::unique_lock lock(mutex);
    wanted = true;
    changed.notify_all();
    changed.wait(lock, [&] { return asked; });
  });
  sink.tar(layer("waits"), stream);
  other.join();
}

// What is open, by number, but for what this very look opens.
std::string open_fds() {
  std::string text;
  DIR* dir = ::opendir("/proc/self/fd");
  while (const dirent* e = ::readdir(dir)) {
    char target[256] = "";
    if (e->d_name[0] == '.' || std::atoi(e->d_name) == ::dirfd(dir)) continue;
    if (::readlinkat(::dirfd(dir), e->d_name, target, sizeof target - 1) > 0)
      text += std::string(target).substr(0, std::string(target).find(':')) + " ";
  }
  ::closedir(dir);
  return text;
}

class Talkative final : public zoo::QuietSource {
 public:
  Talkative(Host& host, std::string_view settings) : QuietSource(host, settings), host_(host) {}

  PinResult pin(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    PinResult r;
    r.pin.digest = "told:" + tell(ref, last, sink, ctx);
    if (ref.location == "large") r.metadata_json = std::string(3 << 20, ' ');
    return r;
  }
  void fetch(const SourceRef&, const Pin&, const SourceLayer& wanted, SourceSink& sink, CallContext&) override {
    const auto dir = sink.directory(wanted);
    ::close(::openat(dir->fd(), "filled", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (wanted.id != "half") dir->done();
  }

 private:
  std::string tell(const SourceRef& ref, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) {
    const auto& what = ref.location;
    if (what == "last") return last ? last->validators : "nothing";
    if (what == "attributes")
      return ref.attributes.at(0).first + "=" + ref.attributes.at(0).second + "," + ref.platform;
    if (what == "credentials") {
      const auto c = ctx.credentials("realm");
      return c ? c->username + "/" + c->secret + (c->is_token ? "/token" : "") : "none";
    }
    if (what == "secret") return read_fd(ctx.open_secret("token").get());
    if (what == "have") return sink.have(layer("there")) ? "yes" : "no";
    if (what == "threads") deliver_from_threads(sink, ctx);
    if (what == "waits") wait_for_another_thread(sink, ctx);
    if (what == "error") throw Error(Code::not_found, "no such thing");
    if (what == "fds") return open_fds();
    if (what == "log") {
      host_.log(LogLevel::info, "from the host interface");
      ctx.log(LogLevel::warn, "from the context");
      std::fputs("from stderr\n", stderr);
    }
    if (what == "cancel") {
      pollfd p{ctx.cancel_fd(), POLLIN, 0};
      ::poll(&p, 1, -1);
      throw Error(Code::cancelled, ctx.cancelled() ? "as asked" : "but not cancelled");
    }
    if (what == "child" || what == "child and crash") {
      Host::Spawn sleep;
      sleep.argv = {"/bin/sleep", "1000"};
      sleep.stdio[1] = ref.attributes.empty() ? -1 : std::atoi(ref.attributes[0].second.c_str());
      child_ = host_.spawn(sleep);
      const auto info =
          read_fd(UniqueFd(::open(("/proc/self/fdinfo/" + std::to_string(child_.get())).c_str(), O_RDONLY)).get());
      ctx.log(LogLevel::info, info.substr(info.find("Pid:\t") + 5));
      if (what == "child and crash") std::abort();
    }
    return "done";
  }

  Host& host_;
  UniqueFd child_;
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Talkative, "talkative", "1.0.0", "Zoo");
