#include "core/store/journal.h"

#include "core/base/log.h"
#include "core/store/database.h"

namespace dagger::store {

Journal::Journal(Database& database, std::function<void()> sync, std::chrono::milliseconds interval, Log& log)
    : database_(database), sync_(std::move(sync)), interval_(interval), log_(log), batch_(database.last_batch() + 1) {
  thread_ = std::thread([this] { serve(); });
}

Journal::~Journal() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Journal::add(Change change) {
  const std::lock_guard lock(mutex_);
  if (const auto* v = std::get_if<PutValue>(&change)) values_[{v->table, v->key}] = {batch_, v->value};
  if (const auto* v = std::get_if<DropValue>(&change)) values_.erase({v->table, v->key});
  changes_.push_back(std::move(change));
  if (changes_.size() == 1) wake_.notify_one();
}

std::optional<std::string> Journal::pending_value(const std::string& table, const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find({table, key});
  if (found == values_.end()) return std::nullopt;
  return found->second.value;
}

void Journal::flush() {
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = changes_.empty() ? batch_ - 1 : batch_;
  const std::uint64_t before = attempts_;
  flush_ = true;
  wake_.notify_one();
  // A batch being written while we came does not count as an attempt at ours: wait for one more.
  done_.wait(lock, [&] { return synced_ >= mine || attempts_ > before + 1 || (attempts_ > before && failure_); });
  if (synced_ < mine) throw failure_.value_or(Error(Code::unavailable, "the state could not be written"));
}

void Journal::serve() {
  std::unique_lock lock(mutex_);
  bool retry = false;
  for (;;) {
    wake_.wait(lock, [&] { return stop_ || flush_ || !changes_.empty(); });
    // Gather more, unless somebody waits; after a failure, also leave the disk alone for a while.
    if (!stop_ && !flush_) wake_.wait_for(lock, interval_ * (retry ? 4 : 1), [&] { return stop_ || flush_; });
    const bool last = stop_;
    flush_ = false;
    write(lock);
    retry = failure_.has_value();
    done_.notify_all();
    if (last) return;
  }
}

void Journal::write(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t mine = batch_++;
  std::vector<Change> changes = std::exchange(changes_, {});
  lock.unlock();
  std::optional<Error> failure;
  bool committed = false;
  try {
    if (!changes.empty()) database_.commit(changes, mine);
    committed = true;
    make_durable(mine);
  } catch (const Error& e) {
    failure = e;
    if (!doubt_ || !committed) log_.error(std::string("the state could not be written, will try again: ") + e.what());
  }
  lock.lock();
  ++attempts_;
  failure_ = failure;
  if (committed) {
    forget_values(mine);
  } else {
    changes.insert(changes.end(), std::make_move_iterator(changes_.begin()), std::make_move_iterator(changes_.end()));
    changes_ = std::move(changes);
  }
  if (!failure) synced_ = mine;
}

// Once a sync has failed the mark stays where it is, whatever a later sync says.
void Journal::make_durable(std::uint64_t batch) {
  if (!doubt_) {
    try {
      sync_();
    } catch (const Error& e) {
      doubt_ = Error(e.code(), std::string(e.what()) +
                                   ": what was written since the last good sync may be lost; check the disk, then "
                                   "restart the runner, which drops it");
      log_.error(doubt_->what());
    }
  }
  if (!doubt_) return database_.mark_synced(batch);
  try {
    if (!doubt_is_recorded_) database_.distrust_unsynced();
    doubt_is_recorded_ = true;
  } catch (const Error& e) {
    log_.error(std::string("the next start could not be told that data may be lost, will try again: ") + e.what());
  }
  throw Error(*doubt_);
}

void Journal::forget_values(std::uint64_t batch) {
  for (auto it = values_.begin(); it != values_.end();)
    it = it->second.batch <= batch ? values_.erase(it) : std::next(it);
}

}  // namespace dagger::store
