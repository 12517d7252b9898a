#include "core/store/index.h"

#include <algorithm>

namespace dagger::store {

std::shared_ptr<const Record> Index::find_locked(const Digest& key) const {
  auto at = records_.find(key);
  if (at == records_.end()) {
    const auto other = keys_.find(key);
    if (other == keys_.end()) return nullptr;
    at = records_.find(other->second);
    if (at == records_.end()) return nullptr;
  }
  auto record = std::make_shared<Record>(decode_record(at->second));
  const auto whole = [&](const Output& o) { return has_layers_locked(o.layers); };
  if (!std::all_of(record->outputs.begin(), record->outputs.end(), whole)) return nullptr;
  return record;
}

std::shared_ptr<const Record> Index::find(const Digest& key) const {
  const std::lock_guard lock(mutex_);
  return find_locked(key);
}

std::shared_ptr<const Record> Index::last_in_slot(const Digest& slot) const {
  const std::lock_guard lock(mutex_);
  const auto at = slots_.find(slot);
  return at == slots_.end() ? nullptr : find_locked(at->second.key);
}

void Index::put(const Record& record, std::string encoded) {
  const std::lock_guard lock(mutex_);
  records_.insert_or_assign(record.key, std::move(encoded));
  if (record.slot.zero()) return;
  auto& newest = slots_[record.slot];
  if (record.created_unix >= newest.created) newest = {record.key, record.created_unix};
}

void Index::add_key(const Digest& extra, const Digest& key) {
  const std::lock_guard lock(mutex_);
  keys_.insert_or_assign(extra, key);
}

bool Index::drop_record(const Digest& key) {
  const std::lock_guard lock(mutex_);
  return records_.erase(key) != 0;
}

bool Index::known_key(const Digest& key) const {
  const std::lock_guard lock(mutex_);
  return records_.contains(key);
}

void Index::put_layer(LayerId id, LayerRow row) {
  const std::lock_guard lock(mutex_);
  if (!row.diff_id.empty()) diff_ids_.try_emplace(row.diff_id, id);
  layer_bytes_ += row.bytes;
  Held held{std::move(row)};
  if (!held.row.content.zero()) held.digests = Digests::known;
  layers_.insert_or_assign(id, std::move(held));
}

std::optional<LayerRow> Index::layer(LayerId id) const {
  const std::lock_guard lock(mutex_);
  const auto at = layers_.find(id);
  if (at == layers_.end()) return std::nullopt;
  return at->second.row;
}

bool Index::has_layers_locked(const Stack& stack) const {
  return std::all_of(stack.begin(), stack.end(), [this](LayerId id) { return layers_.contains(id); });
}

bool Index::has_layers(const Stack& stack) const {
  const std::lock_guard lock(mutex_);
  return has_layers_locked(stack);
}

std::optional<LayerId> Index::by_diff_id(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  const auto at = diff_ids_.find(diff_id);
  if (at == diff_ids_.end()) return std::nullopt;
  return at->second;
}

void Index::lease(const Stack& stack) {
  const std::lock_guard lock(mutex_);
  for (const LayerId id : stack)
    if (const auto at = layers_.find(id); at != layers_.end()) ++at->second.leases;
}

void Index::release(const Stack& stack) {
  const std::lock_guard lock(mutex_);
  for (const LayerId id : stack)
    if (const auto at = layers_.find(id); at != layers_.end() && at->second.leases > 0) --at->second.leases;
}

std::vector<LayerId> Index::without_digests() const {
  const std::lock_guard lock(mutex_);
  std::vector<LayerId> out;
  for (const auto& [id, held] : layers_)
    if (held.digests == Digests::unknown) out.push_back(id);
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<LayerRow> Index::set_digests(LayerId id, const Digest& content, const Digest& exact) {
  const std::lock_guard lock(mutex_);
  const auto at = layers_.find(id);
  if (at == layers_.end()) return std::nullopt;
  at->second.row.content = content;
  at->second.row.exact = exact;
  at->second.digests = Digests::known;
  return at->second.row;
}

void Index::set_no_digests(LayerId id) {
  const std::lock_guard lock(mutex_);
  if (const auto at = layers_.find(id); at != layers_.end()) at->second.digests = Digests::impossible;
}

std::optional<Digest> Index::stack_digest(const Stack& stack, bool exact) const {
  std::string all = exact ? "exact" : "content";
  const std::lock_guard lock(mutex_);
  for (const LayerId id : stack) {
    const auto at = layers_.find(id);
    if (at == layers_.end() || at->second.digests != Digests::known) return std::nullopt;
    all += (exact ? at->second.row.exact : at->second.row.content).raw();
  }
  return Digest::of(all);
}

void Index::arrive(const std::shared_ptr<Waiter>& waiter) {
  if (waiter->left.fetch_sub(1) == 1) waiter->f();
}

void Index::when_digested(const Stack& stack, Function<void()> f) {
  const auto waiter = std::make_shared<Waiter>();
  waiter->f = std::move(f);
  {
    const std::lock_guard lock(mutex_);
    for (const LayerId id : stack) {
      const auto at = layers_.find(id);
      if (at == layers_.end() || at->second.digests != Digests::unknown) continue;
      waiter->left.fetch_add(1);
      waiters_[id].push_back(waiter);
    }
  }
  arrive(waiter);
}

void Index::run_due(LayerId id) {
  std::vector<std::shared_ptr<Waiter>> due;
  {
    const std::lock_guard lock(mutex_);
    const auto at = waiters_.find(id);
    if (at == waiters_.end()) return;
    due = std::move(at->second);
    waiters_.erase(at);
  }
  for (const auto& waiter : due) arrive(waiter);
}

bool Index::put_blob(const Digest& digest, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (!blobs_.try_emplace(digest, size).second) return false;
  blob_bytes_ += size;
  return true;
}

std::optional<std::uint64_t> Index::blob(const Digest& digest) const {
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(digest);
  if (at == blobs_.end()) return std::nullopt;
  return at->second;
}

bool Index::drop_blob(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(digest);
  if (at == blobs_.end()) return false;
  blob_bytes_ -= at->second;
  blobs_.erase(at);
  return true;
}

Usage Index::usage() const {
  const std::lock_guard lock(mutex_);
  return {layers_.size(), layer_bytes_, records_.size(), blobs_.size(), blob_bytes_};
}

}  // namespace dagger::store
