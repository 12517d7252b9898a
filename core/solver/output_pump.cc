#include "core/solver/output_pump.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/fs.h"
#include "core/solver/scrub.h"

namespace dagger::solver {
namespace {

struct Open {
  Open(OutputPump::Id i, OutputPump::Stream s) : id(i), stream(std::move(s)), scrubber(std::move(stream.secrets)) {}
  const OutputPump::Id id;
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
  // What a pipe can hold, and no more: somebody may still write.
  void pump_rest(char* buffer, std::size_t size) {
    constexpr std::size_t largest_pipe = 1 << 20;
    for (std::size_t read = 0; read < largest_pipe; read += size)
      if (!pump(buffer, size)) return;
    take(scrubber.finish());
  }
};

}  // namespace

struct OutputPump::State {
  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  Id next = 1;
  std::vector<std::pair<Id, Stream>> added;
  std::vector<Id> dropped;
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

OutputPump::Id OutputPump::add(Stream stream) {
  ::fcntl(stream.pipe.get(), F_SETFL, O_NONBLOCK);
  const std::lock_guard lock(state_->mutex);
  const Id id = state_->next++;
  state_->added.emplace_back(id, std::move(stream));
  ::eventfd_write(state_->wake.get(), 1);
  return id;
}

void OutputPump::drop(Id id) {
  const std::lock_guard lock(state_->mutex);
  state_->dropped.push_back(id);
  ::eventfd_write(state_->wake.get(), 1);
}

void OutputPump::State::serve() {
  std::map<int, Open> open;
  std::vector<char> buffer(1 << 16);
  const auto end = [&](std::map<int, Open>::iterator it) {
    it->second.stream.on_end(std::move(it->second.error));
    open.erase(it);  // closes the pipe, which leaves epoll
  };
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
        for (auto& [id, s] : added) {
          const int pipe = s.pipe.get();
          epoll_event event{};
          event.events = EPOLLIN;
          event.data.fd = pipe;
          open.try_emplace(pipe, id, std::move(s));
          ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, pipe, &event);
        }
        added.clear();
        for (const Id id : std::exchange(dropped, {})) {
          const auto it = std::ranges::find(open, id, [](const auto& entry) { return entry.second.id; });
          if (it == open.end()) continue;
          it->second.pump_rest(buffer.data(), buffer.size());
          end(it);
        }
      } else if (const auto it = open.find(fd); it != open.end() && !it->second.pump(buffer.data(), buffer.size())) {
        end(it);
      }
    }
  }
}

}  // namespace dagger::solver
