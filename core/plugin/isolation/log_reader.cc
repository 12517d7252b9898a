#include "core/plugin/isolation/log_reader.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>

#include "core/base/fs.h"
#include "core/base/threads.h"
#include "core/plugin/host_services.h"

namespace dagger::plugin::isolation {
namespace {

constexpr std::size_t max_line = 4096;
constexpr int max_last_packets = 256;  // of a process that has ended; a child of its own may still be writing

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN, event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("watch the output of a plugin");
}

}  // namespace

LogReader::LogReader(Log& log)
    : log_(log), epoll_(::epoll_create1(EPOLL_CLOEXEC)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !stop_) throw_errno("make an epoll instance");
  watch(epoll_.get(), stop_.get());
  thread_ = start_thread("plugin-log", [this] { run(); });
}

LogReader::~LogReader() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void LogReader::add(UniqueFd socket, std::string label) {
  const std::lock_guard lock(mutex_);
  const int fd = socket.get();
  speakers_[fd] = {std::move(socket), std::move(label)};
  watch(epoll_.get(), fd);
}

void LogReader::run() {
  for (;;) {
    std::array<epoll_event, 16> events;
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    bool stop = false;
    for (int i = 0; i < n; ++i) {
      if (events[static_cast<std::size_t>(i)].data.fd == stop_.get())
        stop = true;
      else
        read_one(events[static_cast<std::size_t>(i)].data.fd);
    }
    if (stop) break;
  }
  while (!speakers_.empty()) {  // only this thread changes them now
    const int fd = speakers_.begin()->first;
    for (int packets = 0; packets < max_last_packets && read_one(fd); ++packets) {
    }
    speakers_.erase(fd);
  }
}

bool LogReader::read_one(int fd) {
  const std::lock_guard lock(mutex_);
  const auto found = speakers_.find(fd);
  if (found == speakers_.end()) return false;
  std::array<char, 16 * 1024> buffer;
  const auto n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n > 0) {
    write(found->second.label, {buffer.data(), static_cast<std::size_t>(n)});
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  // Closing alone does not end the watch while a child between fork and exec has a copy.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  speakers_.erase(found);
  return false;
}

void LogReader::write(const std::string& label, std::string_view packet) {
  auto level = Level::warn;  // nobody should write to stderr
  if (packet.size() > 2 && packet[0] == log_mark) {
    level = to_level(static_cast<LogLevel>(packet[1] - '0'));
    packet.remove_prefix(2);
  }
  while (!packet.empty()) {
    const auto line = packet.substr(0, packet.find('\n'));
    if (!line.empty()) log_.write(level, label + ": " + std::string(line.substr(0, max_line)));
    packet.remove_prefix(std::min(packet.size(), line.size() + 1));
  }
}

}  // namespace dagger::plugin::isolation
