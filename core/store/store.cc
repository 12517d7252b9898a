#include "core/store/store.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/store/blobs.h"
#include "core/store/database.h"
#include "core/store/digester.h"
#include "core/store/index.h"
#include "core/store/journal.h"
#include "core/store/layout.h"
#include "core/store/plain_workspace.h"
#include "core/store/publisher.h"
#include "core/store/sweeper.h"
#include "core/store/tree/dir.h"
#include "core/store/unpack/unpack.h"
#include "core/store/values.h"
#include "core/store/views.h"
#include "core/store/volumes.h"

namespace dagger::store {
namespace {

Database open_database(const Layout& layout) {
  make_room(layout);
  return {layout.database(), running_boot_id()};
}

class StoreImpl final : public Store {
 public:
  StoreImpl(const Options& options, plugin::Snapshotter& snapshotter, Log& log)
      : log_(log),
        layout_(options.dir, options.lock_wait),
        database_(open_database(layout_)),
        index_(std::make_shared<Index>()),
        journal_(
            database_, [this] { layout_.sync(); }, options.commit_interval, log),
        blobs_(layout_, *index_, journal_),
        sweeper_(layout_, log),
        volumes_(layout_, sweeper_),
        values_(database_, journal_),
        digester_(options.digest_threads, layout_, *index_, journal_, log),
        publisher_(layout_, database_, *index_, journal_, digester_, log),
        views_(snapshotter, layout_, index_, values_, publisher_, sweeper_) {
    load();
    sweeper_.start([this](const Digest& blob) { blobs_.remove_if_unknown(blob); });
    for (const LayerId id : index_->without_digests()) digester_.add(id);
  }

  // ---- records ----
  std::shared_ptr<const Record> find(const Digest& key) const override { return index_->find(key); }
  std::shared_ptr<const Record> last_in_slot(const Digest& slot) const override { return index_->last_in_slot(slot); }
  void put(Record record) override {
    std::string encoded = encode(record);
    index_->put(record, encoded);
    journal_.add(PutRecord{record.key, std::move(encoded)});
  }
  void add_key(const Digest& extra, const Digest& key) override {
    index_->add_key(extra, key);
    journal_.add(PutKey{extra, key});
  }
  void drop(const Digest& key) override {
    if (index_->drop_record(key)) journal_.add(DropRecord{key});
  }

  // ---- layers ----
  std::optional<LayerInfo> layer(LayerId id) const override { return views_.info(id); }
  std::optional<LayerId> by_diff_id(const std::string& diff_id) const override { return index_->by_diff_id(diff_id); }
  std::unique_ptr<Lease> lease(const Stack& stack) override { return views_.lease(stack); }
  std::optional<Digest> stack_digest(const Stack& stack, bool exact) const override {
    return index_->stack_digest(stack, exact);
  }
  void when_digested(const Stack& stack, Function<void()> f) override { index_->when_digested(stack, std::move(f)); }

  std::unique_ptr<plugin::View> view(const Stack& stack, plugin::CallContext& ctx) override {
    return views_.view(stack, ctx);
  }
  std::unique_ptr<Workspace> workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                       plugin::CallContext& ctx) override {
    return views_.workspace(base, stubs, ctx);
  }
  std::unique_ptr<Workspace> directory() override {
    return std::make_unique<PlainWorkspace>(publisher_, sweeper_, views_.unpack_form());
  }
  LayerId unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                 plugin::CallContext& ctx) override;
  std::unique_ptr<plugin::ByteStream> tar_of(LayerId id, plugin::CallContext& ctx) override {
    return views_.tar_of(id, ctx);
  }

  // ---- blobs, values, volumes ----
  Digest put_blob(std::string_view data) override { return blobs_.put(data); }
  Digest put_blob_file(const std::string& path) override { return blobs_.put_file(path); }
  UniqueFd open_blob(const Digest& digest) const override { return blobs_.open(digest); }
  std::string scratch_dir() const override { return layout_.scratch(); }

  void put_value(const std::string& table, const std::string& key, std::string value) override {
    values_.put(table, key, std::move(value));
  }
  std::optional<std::string> value(const std::string& table, const std::string& key) override {
    return values_.get(table, key);
  }
  Volume volume(const Digest& instance, Function<void(int root_fd)> fill) override {
    return volumes_.get(instance, std::move(fill));
  }

  void flush() override { journal_.flush(); }
  Usage usage() const override { return index_->usage(); }

 private:
  void load();
  std::unordered_set<LayerId> layers_on_disk();

  Log& log_;
  Layout layout_;
  Database database_;
  std::shared_ptr<Index> index_;
  Journal journal_;
  Blobs blobs_;
  Sweeper sweeper_;  // uses blobs_ on its thread
  Volumes volumes_;
  Values values_;
  Digester digester_;
  Publisher publisher_;
  Views views_;
};

LayerId StoreImpl::unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                          plugin::CallContext& ctx) {
  PlainWorkspace workspace(publisher_, sweeper_, views_.unpack_form());
  auto done = store::unpack(tar, workspace.root_fd(), {blob_digest, diff_id, workspace.mark_prefix(), {}}, ctx);
  LayerRow row;
  row.bytes = done.bytes;
  row.entries = done.entries;
  row.diff_id = std::move(done.diff_id);
  row.opaque_root = done.opaque_root;
  return workspace.publish(std::move(row));
}

// What lies in layers/; directories that no number names are swept.
std::unordered_set<LayerId> StoreImpl::layers_on_disk() {
  std::unordered_set<LayerId> out;
  const auto dir = open_file(layout_.layers(), O_RDONLY | O_DIRECTORY);
  for (const auto& name : sorted_names(dir.get())) {
    LayerId id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error == std::errc() && end == name.data() + name.size())
      out.insert(id);
    else
      sweeper_.remove(layout_.layers() + "/" + name);
  }
  return out;
}

// Rows whose data is gone or cannot be read are dropped one by one.
void StoreImpl::load() {
  std::unordered_set<LayerId> on_disk = layers_on_disk();
  LayerId highest = on_disk.empty() ? 0 : *std::max_element(on_disk.begin(), on_disk.end());
  std::size_t dropped = 0;
  Database::Loader loader;
  std::vector<Change> drops;
  const auto drop = [&](Change change) {
    drops.push_back(std::move(change));
    ++dropped;
  };
  loader.layer = [&](LayerId id, std::string_view data) {
    highest = std::max(highest, id);
    try {
      if (on_disk.erase(id) != 0) return index_->put_layer(id, decode_layer(data));
    } catch (const Error& e) {
      log_.warn("layer " + std::to_string(id) + ": " + e.what());
    }
    drop(DropLayer{id});
  };
  loader.record = [&](const Digest& key, std::string_view data) {
    try {
      const Record record = decode_record(data);
      if (std::all_of(record.outputs.begin(), record.outputs.end(),
                      [&](const Output& o) { return index_->has_layers(o.layers); }))
        return index_->put(record, std::string(data));
    } catch (const Error& e) {
      log_.warn("record " + key.str() + ": " + e.what());
    }
    drop(DropRecord{key});
  };
  loader.key = [&](const Digest& extra, const Digest& key) {
    if (index_->known_key(key)) return index_->add_key(extra, key);
    drops.emplace_back(DropKey{extra});
  };
  loader.blob = [&](const Digest& digest, std::uint64_t size) { index_->put_blob(digest, size); };
  database_.load(loader);
  values_.expire();
  for (auto& change : drops) journal_.add(std::move(change));
  for (const LayerId id : on_disk) sweeper_.remove(layout_.layer(id));
  if (dropped != 0) log_.info("the store dropped " + std::to_string(dropped) + " entries whose data is gone");
  publisher_.start(highest);
}

}  // namespace

Stack without_repeats(const Stack& stack) {
  Stack out;
  std::unordered_set<LayerId> seen;
  for (auto id = stack.rbegin(); id != stack.rend(); ++id)
    if (seen.insert(*id).second) out.push_back(*id);
  std::reverse(out.begin(), out.end());
  return out;
}

std::unique_ptr<Store> Store::open(Options options, plugin::Snapshotter& snapshotter, Log& log) {
  return std::make_unique<StoreImpl>(options, snapshotter, log);
}

}  // namespace dagger::store
