// core/store/database.h — records.db: the durable form of the store's index. The only user of SQLite.
//
// Two connections in WAL mode: one for the writer, one for reading values. Commits do not sync: every row carries the
// number of its batch, and mark_synced() says up to which batch the data that rows name has reached the disk. After a
// change of the boot id (power loss, reboot), or after distrust_unsynced(), rows of later batches are dropped; after a
// mere kill they stand. Each connection is guarded by a mutex of its own. Errors: no_space (the batch is rolled back),
// unavailable, corrupt_data.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/store/rows.h"

namespace dagger::store {

// Of the running kernel.
std::string running_boot_id();

class Database {
 public:
  // Drops what does not count as durable for this boot.
  Database(const std::string& path, const std::string& boot_id);
  ~Database();

  struct Loader {
    std::function<void(LayerId, std::string_view)> layer;
    std::function<void(const Digest&, std::string_view)> record;
    std::function<void(const Digest& extra, const Digest& key)> key;
    std::function<void(const Digest&, std::uint64_t size)> blob;
  };
  // Hands over all rows, layers first. One call at start.
  void load(const Loader& to);
  // The last batch number that was ever used, and the next free layer id.
  std::uint64_t last_batch() const;
  LayerId next_layer() const;

  void set_next_layer(LayerId id);
  void commit(const std::vector<Change>& changes, std::uint64_t batch);
  void mark_synced(std::uint64_t batch);
  // The next start drops what is not marked by then, though the machine may not have been off.
  void distrust_unsynced();
  // Removes values of these tables that nobody has used since then.
  void expire_values(const std::vector<std::string>& tables, std::int64_t unused_since);

  struct Value {
    std::string data;
    std::int64_t used_unix;
  };
  std::optional<Value> value(const std::string& table, const std::string& key) const;

 private:
  class Connection;
  std::unique_ptr<Connection> writer_, reader_;
};

}  // namespace dagger::store
