#include "core/link/outbox.h"

#include <algorithm>

namespace dagger::link {

void Outbox::push(ChannelId channel, Type type, std::string bytes) {
  queued_ += item_cost + bytes.size();
  Queue& queue = queues_[channel];
  queue.items.push_back({type, std::make_shared<const std::string>(std::move(bytes))});
  if (!queue.waiting) line_up(channel, queue);
}

void Outbox::push_control(ChannelId channel, Type type, std::string bytes) {
  queued_ += item_cost + bytes.size();
  control_.emplace_back(channel, Item{type, std::make_shared<const std::string>(std::move(bytes))});
}

void Outbox::line_up(ChannelId channel, Queue& queue) {
  queue.waiting = true;
  (queue.items.front().urgent() ? urgent_ : bulk_).push_back(channel);
}

bool Outbox::drop(ChannelId channel) {
  const auto found = queues_.find(channel);
  if (found == queues_.end()) return true;
  const Item& first = found->second.items.front();
  const bool unsent = first.at == 0 && (first.type == Type::call || first.type == Type::open);
  for (const Item& item : found->second.items) queued_ -= item_cost + item.bytes->size() - item.at;
  queues_.erase(found);
  // Linear, but only what is cancelled before it was sent pays.
  std::erase(urgent_, channel);
  std::erase(bulk_, channel);
  return !unsent;
}

void Outbox::clear() { *this = Outbox(); }

void Outbox::add_frame(Batch& batch, ChannelId channel, Item& item) {
  const std::size_t n = std::min(item.bytes->size() - item.at, sent_payload);
  Batch::Piece piece;
  piece.header.type = item.at == 0 || item.type == Type::data ? item.type : Type::more;
  piece.header.more = item.type != Type::data && item.at + n < item.bytes->size();
  piece.header.length = static_cast<std::uint32_t>(n);
  piece.header.channel = channel;
  piece.head = encode(piece.header);
  piece.payload = std::string_view(*item.bytes).substr(item.at, n);
  piece.owner = item.bytes;
  item.at += n;
  queued_ -= n;
  batch.bytes += header_size + n;
  batch.pieces.push_back(std::move(piece));
}

void Outbox::take(Batch& batch, std::size_t limit) {
  while (batch.bytes < limit && batch.pieces.size() < max_pieces && !empty()) {
    if (!control_.empty()) {
      add_frame(batch, control_.front().first, control_.front().second);
      control_.pop_front();
      queued_ -= item_cost;
      continue;
    }
    const bool urgent = !urgent_.empty() && (bulk_.empty() || urgent_run_ < max_urgent_run);
    urgent_run_ = urgent ? urgent_run_ + 1 : 0;
    auto& line = urgent ? urgent_ : bulk_;
    const ChannelId channel = line.front();
    line.pop_front();
    const auto found = queues_.find(channel);
    Queue& queue = found->second;
    queue.waiting = false;
    Item& item = queue.items.front();
    add_frame(batch, channel, item);
    if (item.at == item.bytes->size()) {
      queue.items.pop_front();
      queued_ -= item_cost;
    }
    if (queue.items.empty()) {
      queues_.erase(found);
    } else {
      line_up(channel, queue);
    }
  }
}

}  // namespace dagger::link
