// core/store/journal.h — makes changes of the index durable in batches, on one thread of its own.
//
// add() never waits. At most one commit interval later the changes are in the database (they survive a kill); then the
// file system is synced once and the batch is marked (it survives power loss). A batch that the database refuses (full
// disk) is kept and tried again. A sync that fails is not: the kernel reports an error of writing back only once, so a
// later success says nothing about what was lost. From then on batches are committed but never marked, and the next
// start drops them. [thread-safe]
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/store/rows.h"
#include "dagger/plugin/error.h"

namespace dagger {
class Log;
}

namespace dagger::store {

class Database;

class Journal {
 public:
  // sync: returns when all that was written below the state directory is on the disk, or throws; called on the
  // journal's thread. All referenced things outlive the journal.
  Journal(Database& database, std::function<void()> sync, std::chrono::milliseconds interval, Log& log);
  ~Journal();  // writes what is left

  void add(Change change);
  // A value that is not in the database yet.
  std::optional<std::string> pending_value(const std::string& table, const std::string& key) const;
  // Returns when everything added before is durable; throws what keeps it from being so, after a failed sync always.
  // [blocking]
  void flush();

 private:
  struct Pending {
    std::uint64_t batch;
    std::string value;
  };
  using ValueName = std::pair<std::string, std::string>;
  void serve();
  void write(std::unique_lock<std::mutex>& lock);
  void make_durable(std::uint64_t batch);
  void forget_values(std::uint64_t batch);

  Database& database_;
  const std::function<void()> sync_;
  const std::chrono::milliseconds interval_;
  Log& log_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Change> changes_;
  std::map<ValueName, Pending> values_;
  std::uint64_t batch_;           // of what is in changes_
  std::uint64_t synced_ = 0;      // everything up to this batch is durable
  std::uint64_t attempts_ = 0;    // of writing
  std::optional<Error> failure_;  // of the last attempt
  bool flush_ = false, stop_ = false;
  // Of thread_ alone:
  std::optional<Error> doubt_;      // the sync that failed
  bool doubt_is_recorded_ = false;  // in the database, for the next start
  std::thread thread_;
};

}  // namespace dagger::store
