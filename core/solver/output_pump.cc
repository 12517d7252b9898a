#include "core/solver/output_pump.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <thread>

#include "core/base/fs.h"
#include "core/solver/scrub.h"

namespace dagger::solver {
namespace {

struct Open {
  explicit Open(OutputPump::Stream s) : stream(std::move(s)), scrubber(std::move(stream.secrets)) {}
  OutputPump::Stream stream;
  Scrubber scrubber;
  std::string error;  // of the file; the pipe is still drained, so that the process is not blocked

  void take(std::string text) {
    if (text.empty()) return;
    if (error.empty()) {
      try {
        write_all(stream.file.get(), text);
      } catch (const Error& e) {
        error = e.what();
      }
    }
    stream.on_chunk(std::move(text));
  }
  // False at the end of the pipe.
  bool pump(char* buffer, std::size_t size) {
    const ssize_t n = ::read(stream.pipe.get(), buffer, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n <= 0) {
      take(scrubber.finish());
      return false;
    }
    take(scrubber.feed({buffer, static_cast<std::size_t>(n)}));
    return true;
  }
};

}  // namespace

struct OutputPump::State {
  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  std::vector<Stream> added;
  bool stopping = false;
  std::thread thread;

  void serve();
};

OutputPump::OutputPump() : state_(std::make_unique<State>()) {
  if (!state_->epoll || !state_->wake) throw_errno("make the output pump");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = state_->wake.get();
  ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, state_->wake.get(), &event);
  state_->thread = std::thread([this] { state_->serve(); });
}

OutputPump::~OutputPump() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  ::eventfd_write(state_->wake.get(), 1);
  state_->thread.join();
}

void OutputPump::add(Stream stream) {
  ::fcntl(stream.pipe.get(), F_SETFL, O_NONBLOCK);
  {
    const std::lock_guard lock(state_->mutex);
    state_->added.push_back(std::move(stream));
  }
  ::eventfd_write(state_->wake.get(), 1);
}

void OutputPump::State::serve() {
  std::map<int, Open> open;
  std::vector<char> buffer(1 << 16);
  for (;;) {
    epoll_event events[64];
    const int n = ::epoll_wait(epoll.get(), events, 64, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == wake.get()) {
        eventfd_t ignored;
        ::eventfd_read(wake.get(), &ignored);
        const std::lock_guard lock(mutex);
        if (stopping) return;
        for (auto& s : added) {
          const int pipe = s.pipe.get();
          epoll_event event{};
          event.events = EPOLLIN;
          event.data.fd = pipe;
          open.try_emplace(pipe, std::move(s));
          ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, pipe, &event);
        }
        added.clear();
      } else if (const auto it = open.find(fd); it != open.end() && !it->second.pump(buffer.data(), buffer.size())) {
        it->second.stream.on_end(std::move(it->second.error));
        open.erase(it);  // closes the pipe, which leaves epoll
      }
    }
  }
}

}  // namespace dagger::solver
