// core/link/outbox.h — what waits to be sent, and whose turn it is. Pure: no I/O; guarded by its owner's lock.
//
// Every channel has a queue; channels take turns, one frame each. The first frame of a message goes before bytes of
// streams and the rest of long messages, so that small calls stay fast beside a big transfer, but never more than
// max_urgent_run frames in a row. Frames of one channel keep their order, and so do the first frames of new channels.
#pragma once
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/link/frame.h"

namespace dagger::link {

// Frames on their way into a socket.
struct Batch {
  struct Piece {
    FrameHeader header;
    std::array<char, header_size> head;
    std::string_view payload;
    std::shared_ptr<const std::string> owner;  // of the payload
  };
  std::vector<Piece> pieces;
  std::size_t bytes = 0;  // of all pieces
  std::size_t sent = 0;   // of bytes, from the front

  bool empty() const noexcept { return pieces.empty(); }
  void clear() { pieces.clear(), bytes = sent = 0; }
};

class Outbox {
 public:
  void push(ChannelId channel, Type type, std::string bytes);
  // A frame that waits for nobody's turn.
  void push_control(ChannelId channel, Type type, std::string bytes);
  // Forgets what has not been taken. True if frames of the channel's first message may have been sent already.
  bool drop(ChannelId channel);
  void clear();

  // Moves frames of up to about limit bytes to the (empty) batch.
  void take(Batch& batch, std::size_t limit);
  bool empty() const noexcept { return control_.empty() && urgent_.empty() && bulk_.empty(); }
  // Bytes of payload, and what holding them costs.
  std::size_t queued() const noexcept { return queued_; }

 private:
  struct Item {
    Type type;
    std::shared_ptr<const std::string> bytes;
    std::size_t at = 0;
    bool urgent() const noexcept { return at == 0 && type != Type::data && type != Type::finish; }
  };
  struct Queue {
    std::deque<Item> items;
    bool waiting = false;  // its id is in urgent_ or bulk_
  };
  static constexpr unsigned max_urgent_run = 16;
  static constexpr std::size_t item_cost = 128;
  static constexpr std::size_t max_pieces = 256;

  void line_up(ChannelId channel, Queue& queue);
  void add_frame(Batch& batch, ChannelId channel, Item& item);

  std::unordered_map<ChannelId, Queue> queues_;
  std::deque<std::pair<ChannelId, Item>> control_;
  std::deque<ChannelId> urgent_, bulk_;
  unsigned urgent_run_ = 0;
  std::size_t queued_ = 0;
};

}  // namespace dagger::link
