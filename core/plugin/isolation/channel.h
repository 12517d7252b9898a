// core/plugin/isolation/channel.h — messages with fds over a socket pair. Used by both processes.
//
// One message is one packet; a body that is too large for one travels as a sealed memory file, which a reader can
// neither be blocked by nor see change. send() is [thread-safe], whole messages never mix; receive() is for one thread
// at a time. Errors: Error{unavailable} when the other end is gone, Error{corrupt_data} for what is no message.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/plugin/isolation/messages.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::plugin::isolation {

inline constexpr std::size_t max_inline_bytes = 64 * 1024;      // a body in the packet itself
inline constexpr std::size_t max_body_bytes = 4 * 1024 * 1024;  // but for the records of a cache
inline constexpr std::size_t max_fds = 4;                       // of one message

struct Message {
  Kind kind = Kind::call;
  std::uint8_t what = 0;  // Method, Ask or Note
  std::string body;       // CBOR; of a piece: the bytes themselves
  std::vector<UniqueFd> fds;
};

class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}
  // Both ends of a new one.
  static std::pair<UniqueFd, UniqueFd> pair();

  int fd() const noexcept { return socket_.get(); }
  template <class What>
  void send(Kind kind, What what, std::string_view body, const std::vector<int>& fds = {}) {
    send_packet(kind, static_cast<std::uint8_t>(what), body, fds);
  }
  void fail(const Error& error);  // sends a failure
  // Waits for the next one; nothing when the other end is closed.
  std::optional<Message> receive(std::size_t max_body = max_body_bytes);
  // Lets a thread that waits in receive() see the end.
  void shut_down() noexcept;

 private:
  void send_packet(Kind kind, std::uint8_t what, std::string_view body, const std::vector<int>& fds);
  UniqueFd socket_;
};

// The error that a failure tells of. An unknown code is a plugin_fault.
Error to_error(const Failure& failure);

}  // namespace dagger::plugin::isolation
