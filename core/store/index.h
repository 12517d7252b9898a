// core/store/index.h — what the store has, in memory: records, their keys and slots, layers, blobs. One short mutex, no
// system call, no I/O. It never decides what is durable: the caller hands every change to the journal as well.
// [thread-safe]
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/store/rows.h"

namespace dagger::store {

class Index {
 public:
  enum class Digests { unknown, known, impossible };

  // records
  std::shared_ptr<const Record> find(const Digest& key) const;
  std::shared_ptr<const Record> last_in_slot(const Digest& slot) const;
  void put(const Record& record, std::string encoded);
  void add_key(const Digest& extra, const Digest& key);
  bool drop_record(const Digest& key);
  bool known_key(const Digest& key) const;

  // layers
  void put_layer(LayerId id, LayerRow row);
  std::optional<LayerRow> layer(LayerId id) const;
  bool has_layers(const Stack& stack) const;
  std::optional<LayerId> by_diff_id(const std::string& diff_id) const;
  void lease(const Stack& stack);  // counted
  void release(const Stack& stack);
  std::vector<LayerId> without_digests() const;

  // digests of layers
  std::optional<LayerRow> set_digests(LayerId id, const Digest& content, const Digest& exact);
  void set_no_digests(LayerId id);
  std::optional<Digest> stack_digest(const Stack& stack, bool exact) const;
  // f runs at once or later, never under the mutex: call run_due() after set_digests() or set_no_digests().
  void when_digested(const Stack& stack, Function<void()> f);
  void run_due(LayerId id);

  // blobs
  bool put_blob(const Digest& digest, std::uint64_t size);  // whether it is new
  std::optional<std::uint64_t> blob(const Digest& digest) const;
  bool drop_blob(const Digest& digest);

  Usage usage() const;

 private:
  struct Held {
    LayerRow row;
    Digests digests = Digests::unknown;
    unsigned leases = 0;
  };
  struct Newest {
    Digest key;
    std::int64_t created = 0;
  };
  struct Waiter {
    std::atomic<std::size_t> left{1};
    Function<void()> f;
  };
  std::shared_ptr<const Record> find_locked(const Digest& key) const;
  bool has_layers_locked(const Stack& stack) const;
  static void arrive(const std::shared_ptr<Waiter>& waiter);

  mutable std::mutex mutex_;
  std::unordered_map<Digest, std::string> records_;  // encoded: a third of the size of a Record
  std::unordered_map<Digest, Digest> keys_;
  std::unordered_map<Digest, Newest> slots_;
  std::unordered_map<LayerId, Held> layers_;
  std::unordered_map<std::string, LayerId> diff_ids_;
  std::unordered_map<Digest, std::uint64_t> blobs_;
  std::unordered_map<LayerId, std::vector<std::shared_ptr<Waiter>>> waiters_;
  std::uint64_t layer_bytes_ = 0, blob_bytes_ = 0;
};

}  // namespace dagger::store
