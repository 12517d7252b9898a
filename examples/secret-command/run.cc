#include "run.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "child.h"
#include "value.h"

namespace secret_command {
namespace {

using dagger::Code;
using dagger::Error;
using Clock = std::chrono::steady_clock;

constexpr std::size_t max_messages = 8 << 10;  // kept of stderr
constexpr std::size_t max_shown = 500;         // and put into an error

// The end of what a pipe gives.
class Messages {
 public:
  // Takes what the pipe has now, a part of it if that is endless. False: the pipe has ended.
  bool take(int pipe) {
    char buffer[4096];
    for (int i = 0; i < 64; ++i) {
      const auto n = ::read(pipe, buffer, sizeof buffer);
      if (n == 0) return false;
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno == EAGAIN;
      text_.append(buffer, static_cast<std::size_t>(n));
      if (text_.size() > max_messages) text_.erase(0, text_.size() - max_messages);
    }
    return true;
  }
  std::string shown() const {
    const auto lines = last_lines(text_, max_shown);
    return lines.empty() ? std::string() : ": " + lines;
  }

 private:
  std::string text_;
};

// Ends when the command has ended, not when its pipes have: something that it left behind may hold them.
void wait_for_end(const Child& child, const Limits& limits, Value& value, Messages& messages,
                  dagger::plugin::CallContext& ctx) {
  const auto deadline = Clock::now() + limits.timeout;
  pollfd fds[] = {
      {child.end_fd(), POLLIN, 0}, {child.out(), POLLIN, 0}, {child.err(), POLLIN, 0}, {ctx.cancel_fd(), POLLIN, 0}};
  for (;;) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0)
      throw Error(Code::unavailable, "takes longer than " + std::to_string(limits.timeout.count()) +
                                         " s (the setting timeout_seconds)" + messages.shown());
    const long slice = ctx.cancel_fd() >= 0 ? 60'000 : 100;  // without an fd to wait for, look now and then
    if (::poll(fds, 4, static_cast<int>(std::min<long>(left + 1, slice))) < 0 && errno != EINTR)
      throw Error(Code::internal, "cannot wait for the command");
    const bool ended = fds[0].revents != 0;  // looked at first: what it wrote is in the pipes by now
    if (fds[1].fd >= 0 && !value.take(child.out())) fds[1].fd = -1;
    if (fds[2].fd >= 0 && !messages.take(child.err())) fds[2].fd = -1;
    if (ended) return;
  }
}

}  // namespace

std::string last_lines(std::string_view text, std::size_t size) {
  std::string out;
  while (!text.empty()) {
    const auto start = text.rfind('\n') + 1;  // npos + 1 is 0
    std::string line(text.substr(start, text.size() - start));
    text = text.substr(0, start == 0 ? 0 : start - 1);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    for (char& c : line)
      if (c < ' ' || c > '~') c = '?';
    if (out.empty() && line.size() > size) return line.substr(line.size() - size);
    if (out.size() + line.size() + 2 > size) break;
    out = out.empty() ? line : line + "; " + out;
  }
  return out;
}

dagger::UniqueFd run(dagger::plugin::Host& host, const Command& command, const Limits& limits,
                     dagger::plugin::CallContext& ctx) {
  try {
    Value value(limits.bytes);
    Messages messages;
    Child child(host, command.argv, command.env);
    wait_for_end(child, limits, value, messages, ctx);
    if (const auto how = child.failure(); !how.empty()) throw Error(Code::unavailable, how + messages.shown());
    if (limits.cut_newline) value.cut_newline();
    return value.seal();
  } catch (const Error& e) {
    throw Error(e.code(), "secret cmd:" + command.name + " (" + command.argv[0] + "): " + e.message());
  }
}

}  // namespace secret_command
