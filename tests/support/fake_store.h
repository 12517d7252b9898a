// tests/support/fake_store.h — a store::Store whose records live in memory and whose layers are plain directories.
//
// A workspace shows only what is written in it, not its base, so that it costs nothing how deep a stack is; a view
// shows the whole stack (whiteouts are not known). Digests of layers come at once, or when the test says so.
// [thread-safe]
#pragma once
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>

#include "core/base/fs.h"
#include "core/store/store.h"

namespace dagger::testing {

class MemoryStore final : public store::Store {
 public:
  MemoryStore();

  // From now on layers have no digests until digest_now(), which runs what waits for them on the calling thread.
  void hold_digests();
  void digest_now();

  // From now on, or no longer, put_value() throws no_space after this many more calls of it.
  void refuse_values(std::optional<std::size_t> after);
  // From now on put_blob_file() throws no_space and leaves the file where it is.
  void refuse_blob_files();
  // As if every blob turned out to be damaged.
  void forget_blobs();
  // The next find() of this key throws what is no Error.
  void break_lookup(const Digest& key);

  // Everything that a store would keep: records, keys, values, logs and what is in layers.
  std::string all_that_rests() const;
  std::string blob(const Digest& digest) const;
  std::size_t lookups() const;  // calls of find()
  std::size_t leased() const;   // layers under a lease
  std::string volumes_dir() const { return dir_.path() + "/volumes"; }

  // ---- store::Store ----
  std::shared_ptr<const store::Record> find(const Digest& key) const override;
  void put(store::Record record) override;
  void add_key(const Digest& extra, const Digest& key) override;
  std::shared_ptr<const store::Record> last_in_slot(const Digest& slot) const override;
  void drop(const Digest& key) override;
  std::optional<store::LayerInfo> layer(store::LayerId id) const override;
  std::optional<store::LayerId> by_diff_id(const std::string& diff_id) const override;
  std::unique_ptr<store::Lease> lease(const store::Stack& stack) override;
  std::optional<Digest> stack_digest(const store::Stack& stack, bool exact) const override;
  void when_digested(const store::Stack& stack, Function<void()> f) override;
  std::unique_ptr<plugin::View> view(const store::Stack& stack, plugin::CallContext& ctx) override;
  std::unique_ptr<store::Workspace> workspace(const store::Stack& base, const std::vector<plugin::MountStub>& stubs,
                                              plugin::CallContext& ctx) override;
  std::unique_ptr<store::Workspace> directory() override;
  store::LayerId unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                        plugin::CallContext& ctx) override;
  std::unique_ptr<plugin::ByteStream> tar_of(store::LayerId id, plugin::CallContext& ctx) override;
  Digest put_blob(std::string_view data) override;
  Digest put_blob_file(const std::string& path) override;
  UniqueFd open_blob(const Digest& digest) const override;
  std::string scratch_dir() const override { return dir_.path() + "/scratch"; }
  void put_value(const std::string& table, const std::string& key, std::string value) override;
  std::optional<std::string> value(const std::string& table, const std::string& key) override;
  Volume volume(const Digest& instance, Function<void(int root_fd)> fill) override;
  void flush() override {}
  store::Usage usage() const override;

  // Makes the directory at path, which lies in the store, a layer.
  store::LayerId publish(const std::string& path, std::string diff_id);
  std::string work_dir();

 private:
  struct Layer {
    std::string path, diff_id;
    Digest content, exact;
  };
  void digest(Layer& layer) const;

  TempDir dir_{"/dev/shm"};
  mutable std::mutex mutex_;
  std::unordered_map<Digest, std::shared_ptr<const store::Record>> records_;
  std::unordered_map<Digest, Digest> keys_, slots_;
  std::deque<Layer> layers_;  // the first is layer 1
  std::unordered_map<store::LayerId, int> leases_;
  std::map<Digest, std::string> blobs_;
  std::map<std::pair<std::string, std::string>, std::string> values_;
  bool hold_digests_ = false;
  std::vector<Function<void()>> when_digested_;
  std::optional<std::size_t> values_left_;
  bool refuse_blob_files_ = false;
  mutable std::optional<Digest> broken_lookup_;
  mutable std::size_t lookups_ = 0;
  std::size_t next_work_ = 0;
};

}  // namespace dagger::testing
