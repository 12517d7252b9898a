#include "core/store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <ctime>
#include <unordered_set>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/base/pool.h"
#include "core/store/blobs.h"
#include "core/store/database.h"
#include "core/store/digester.h"
#include "core/store/flatten.h"
#include "core/store/index.h"
#include "core/store/journal.h"
#include "core/store/layout.h"
#include "core/store/sweeper.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/merge.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/tree/walk.h"
#include "core/store/unpack/unpack.h"
#include "core/store/volumes.h"

namespace dagger::store {
namespace {

constexpr LayerId id_block = 1'000'000;
constexpr std::int64_t week = 7 * 24 * 3600;
constexpr std::int64_t touch_after = 3600;

// Values of these tables go when nobody has asked for them for a week.
bool expires(const std::string& table) { return table == "recipe" || table == "op"; }

const char* mark_prefix(const std::string& form) {
  return form == plugin::form::overlay_trusted ? trusted_overlay : user_overlay;
}

class CountedLease final : public Lease {
 public:
  CountedLease(std::shared_ptr<Index> index, Stack stack) : index_(std::move(index)), stack_(std::move(stack)) {
    index_->lease(stack_);
  }
  ~CountedLease() override { index_->release(stack_); }
  CountedLease(const CountedLease&) = delete;
  CountedLease& operator=(const CountedLease&) = delete;

 private:
  const std::shared_ptr<Index> index_;
  const Stack stack_;
};

// A view whose layers stay while it exists.
class LeasedView final : public plugin::View {
 public:
  LeasedView(std::unique_ptr<Lease> lease, std::unique_ptr<plugin::View> view)
      : lease_(std::move(lease)), view_(std::move(view)) {}
  int root_fd() const noexcept override { return view_->root_fd(); }
  bool detached_mount() const noexcept override { return view_->detached_mount(); }
  int lost_fd() const noexcept override { return view_->lost_fd(); }
  plugin::SealedLayer seal(plugin::CallContext& ctx) override { return view_->seal(ctx); }

 private:
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::View> view_;
};

// A layer's bytes; the layer stays while they are read.
class LeasedStream final : public plugin::ByteStream {
 public:
  LeasedStream(std::unique_ptr<Lease> lease, std::unique_ptr<plugin::ByteStream> stream)
      : lease_(std::move(lease)), stream_(std::move(stream)) {}
  std::size_t read(void* buffer, std::size_t size) override { return stream_->read(buffer, size); }

 private:
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::ByteStream> stream_;
};

Database open_database(const Layout& layout) {
  make_room(layout);
  return {layout.database(), running_boot_id()};
}

class StoreImpl final : public Store {
 public:
  StoreImpl(const Options& options, plugin::Snapshotter& snapshotter, Log& log)
      : snapshotter_(snapshotter),
        traits_(snapshotter.traits()),
        log_(log),
        layout_(options.dir, options.lock_wait),
        database_(open_database(layout_)),
        index_(std::make_shared<Index>()),
        journal_(
            database_, [this] { layout_.sync(); }, options.commit_interval, log),
        blobs_(layout_, *index_, journal_),
        sweeper_(layout_, log),
        volumes_(layout_, sweeper_),
        digester_(options.digest_threads, layout_, *index_, journal_, log) {
    load();
    sweeper_.start([this](const Digest& blob) { blobs_.remove_if_unknown(blob); });
    for (const LayerId id : index_->without_digests()) digester_.add(id);
  }

  ~StoreImpl() override {
    try {
      database_.set_next_layer(next_layer_);  // ids that were reserved, but not used, need not be skipped
    } catch (const Error& e) {
      log_.warn(std::string("closing the store: ") + e.what());
    }
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
  std::optional<LayerInfo> layer(LayerId id) const override {
    const auto row = index_->layer(id);
    if (!row) return std::nullopt;
    LayerInfo info{id, places(id, *row), row->bytes, row->entries, {}, {}, row->diff_id};
    if (!row->content.zero()) info.content = row->content, info.exact = row->exact;
    return info;
  }
  std::optional<LayerId> by_diff_id(const std::string& diff_id) const override { return index_->by_diff_id(diff_id); }
  std::unique_ptr<Lease> lease(const Stack& stack) override { return std::make_unique<CountedLease>(index_, stack); }
  std::optional<Digest> stack_digest(const Stack& stack, bool exact) const override {
    return index_->stack_digest(stack, exact);
  }
  void when_digested(const Stack& stack, Function<void()> f) override { index_->when_digested(stack, std::move(f)); }

  std::unique_ptr<plugin::View> view(const Stack& stack, plugin::CallContext& ctx) override {
    auto held = lease(stack);
    const Stack shown = shortened(stack, ctx);
    return std::make_unique<LeasedView>(lease(shown), snapshotter_.open({layers(shown), false, "", {}}, ctx));
  }
  std::unique_ptr<Workspace> workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                       plugin::CallContext& ctx) override;
  std::unique_ptr<Workspace> directory() override;
  LayerId unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                 plugin::CallContext& ctx) override;
  std::unique_ptr<plugin::ByteStream> tar_of(LayerId id, plugin::CallContext& ctx) override;

  // ---- blobs, values, volumes ----
  Digest put_blob(std::string_view data) override { return blobs_.put(data); }
  Digest put_blob_file(const std::string& path) override { return blobs_.put_file(path); }
  UniqueFd open_blob(const Digest& digest) const override { return blobs_.open(digest); }
  std::string scratch_dir() const override { return layout_.scratch(); }

  void put_value(const std::string& table, const std::string& key, std::string value) override {
    journal_.add(PutValue{table, key, std::move(value)});
  }
  std::optional<std::string> value(const std::string& table, const std::string& key) override {
    if (auto pending = journal_.pending_value(table, key)) return pending;
    auto found = database_.value(table, key);
    if (!found) return std::nullopt;
    if (expires(table) && found->used_unix + touch_after < std::time(nullptr)) journal_.add(TouchValue{table, key});
    return std::move(found->data);
  }
  Volume volume(const Digest& instance, Function<void(int root_fd)> fill) override {
    return volumes_.get(instance, std::move(fill));
  }

  void flush() override { journal_.flush(); }
  Usage usage() const override { return index_->usage(); }

  // Renames what a snapshotter or an unpacking made to its place, and makes it known.
  LayerId publish(const std::string& path, const std::string& form, LayerRow row) {
    const LayerId id = next_layer_++;
    if (id >= reserved_) reserve(id);
    make_dirs(layout_.layer(id), 0700);
    const std::string place = layout_.layer(id) + "/" + form;
    if (::rename(path.c_str(), place.c_str()) != 0) throw_errno("rename " + path + " to " + place);
    row.forms = {form};
    journal_.add(PutLayer{id, encode(row)});
    const bool known = !row.content.zero();
    index_->put_layer(id, std::move(row));
    if (!known) digester_.add(id);
    return id;
  }
  Sweeper& sweeper() noexcept { return sweeper_; }

 private:
  std::vector<plugin::LayerPlace> places(LayerId id, const LayerRow& row) const {
    std::vector<plugin::LayerPlace> out;
    for (const auto& form : row.forms) out.push_back({form, layout_.layer(id) + "/" + form});
    return out;
  }

  LayerRow row_of(LayerId id) const {
    auto row = index_->layer(id);
    if (!row) throw Error(Code::not_found, "layer " + std::to_string(id) + " is not in the store");
    return std::move(*row);
  }

  // Without what an opaque root hides, and with many layers made one if there are more than the snapshotter can stack.
  Stack shortened(const Stack& stack, plugin::CallContext& ctx) {
    Stack shown;
    for (const LayerId id : stack) {
      if (row_of(id).opaque_root) shown.clear();
      shown.push_back(id);
    }
    if (traits_.max_stack == 0) return shown;
    return flatten(std::move(shown), traits_.max_stack, [&](const Stack& group) { return merged(group, ctx); });
  }
  LayerId merged(const Stack& group, plugin::CallContext& ctx);

  // As the snapshotter wants them.
  std::vector<plugin::Layer> layers(const Stack& stack) const {
    std::vector<plugin::Layer> out;
    for (const LayerId id : without_repeats(stack)) {
      const auto row = row_of(id);
      const auto readable = [&](const std::string& form) {
        return std::find(traits_.reads.begin(), traits_.reads.end(), form) != traits_.reads.end();
      };
      if (std::none_of(row.forms.begin(), row.forms.end(), readable))
        throw Error(
            Code::unsupported,
            "layer " + std::to_string(id) + " exists as " + row.forms.front() +
                ", which the configured snapshotter cannot read: use the one that made it, or another state directory");
      out.push_back({std::to_string(id), places(id, row), row.diff_id});
    }
    return out;
  }

  // The form of directory that unpacking makes.
  std::string unpack_form() const {
    for (const char* form : {plugin::form::overlay_trusted, plugin::form::overlay_user})
      if (std::find(traits_.reads.begin(), traits_.reads.end(), form) != traits_.reads.end()) return form;
    throw Error(Code::unsupported, "the configured snapshotter reads no layer directories");
  }

  void reserve(LayerId first) {
    const std::lock_guard lock(reserve_mutex_);
    if (first < reserved_) return;
    database_.set_next_layer(first + id_block);
    reserved_ = first + id_block;
  }

  void load();
  std::unordered_set<LayerId> layers_on_disk();

  plugin::Snapshotter& snapshotter_;
  const plugin::SnapshotterTraits traits_;
  Log& log_;
  Layout layout_;
  Database database_;
  std::shared_ptr<Index> index_;
  Journal journal_;
  Blobs blobs_;
  Sweeper sweeper_;  // uses blobs_ on its thread
  Volumes volumes_;
  Digester digester_;
  std::atomic<LayerId> next_layer_{1};
  std::atomic<LayerId> reserved_{0};
  std::mutex reserve_mutex_;
  std::mutex merge_mutex_;
};

class WorkspaceImpl final : public Workspace {
 public:
  WorkspaceImpl(StoreImpl& store, std::string dir, std::unique_ptr<Lease> lease)
      : store_(store), dir_(std::move(dir)), lease_(std::move(lease)) {}
  ~WorkspaceImpl() override {
    view_.reset();
    store_.sweeper().remove(dir_);
  }
  WorkspaceImpl(const WorkspaceImpl&) = delete;
  WorkspaceImpl& operator=(const WorkspaceImpl&) = delete;

  void set(std::unique_ptr<plugin::View> view) { view_ = std::move(view); }
  int root_fd() const noexcept override { return view_->root_fd(); }
  bool detached_mount() const noexcept override { return view_->detached_mount(); }
  int lost_fd() const noexcept override { return view_->lost_fd(); }
  std::optional<LayerId> seal(plugin::CallContext& ctx) override {
    const auto sealed = view_->seal(ctx);
    if (sealed.empty) return std::nullopt;
    LayerRow row;
    row.bytes = sealed.bytes;
    row.entries = sealed.entries;
    return store_.publish(sealed.path, sealed.form, std::move(row));
  }

 private:
  StoreImpl& store_;
  const std::string dir_;
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<plugin::View> view_;
};

std::unique_ptr<Workspace> StoreImpl::workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                                plugin::CallContext& ctx) {
  const auto held = lease(base);
  const Stack shown = shortened(base, ctx);
  plugin::ViewRequest request{layers(shown), true, sweeper_.make_work_dir(), stubs};
  auto out = std::make_unique<WorkspaceImpl>(*this, request.workspace, lease(shown));
  out->set(snapshotter_.open(request, ctx));
  return out;
}

// A layer in the making that is a plain directory.
class PlainWorkspace final : public Workspace {
 public:
  PlainWorkspace(StoreImpl& store, std::string form) : store_(store), form_(std::move(form)), work_(store.sweeper()) {
    make_dirs(path(), 0755);
    root_ = open_file(path(), O_RDONLY | O_DIRECTORY);
    if (::fchmod(root_.get(), 0755) != 0) throw_errno("chmod " + path());
    before_ = stat_of(root_.get());
  }
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return false; }
  std::optional<LayerId> seal(plugin::CallContext& ctx) override {
    LayerRow row = account(ctx);
    const auto after = stat_of(root_.get());
    const bool same_root =
        before_.st_mode == after.st_mode && before_.st_uid == after.st_uid && before_.st_gid == after.st_gid;
    if (row.entries == 0 && same_root) return std::nullopt;
    return store_.publish(path(), form_, std::move(row));
  }
  LayerId publish(LayerRow row) { return store_.publish(path(), form_, std::move(row)); }

 private:
  std::string path() const { return work_.path() + "/fs"; }
  LayerRow account(plugin::CallContext& ctx) const {
    LayerRow row;
    tree::walk(root_.get(), ctx, [&row](const tree::Step& s) {
      ++row.entries;
      // What another layer holds as well is not counted twice.
      if (s.stat.st_nlink < 2 || S_ISDIR(s.stat.st_mode))
        row.bytes += static_cast<std::uint64_t>(s.stat.st_blocks) * 512;
      return true;
    });
    return row;
  }
  StoreImpl& store_;
  const std::string form_;
  const WorkDir work_;
  UniqueFd root_;
  struct stat before_{};
};

// One layer for a group of layers of a long stack: made once, then found under its parts.
LayerId StoreImpl::merged(const Stack& group, plugin::CallContext& ctx) {
  std::string parts = "merged";
  for (const LayerId id : group) parts += " " + std::to_string(id);
  const Digest key = Digest::of(parts);
  const auto find = [&]() -> std::optional<LayerId> {
    const auto known = value("merged", std::string(key.raw()));
    if (!known) return std::nullopt;
    const LayerId id = std::stoull(*known);
    return index_->layer(id) ? std::optional(id) : std::nullopt;
  };
  if (const auto id = find()) return *id;
  const std::lock_guard one_at_a_time(merge_mutex_);  // of two that need the same the second finds it
  if (const auto id = find()) return *id;

  const std::string form = unpack_form();
  const auto held = lease(group);
  std::vector<std::string> dirs;
  for (const LayerId id : group) {
    const auto row = row_of(id);
    if (std::find(row.forms.begin(), row.forms.end(), form) == row.forms.end())
      throw Error(Code::unsupported, "layer " + std::to_string(id) + " exists as " + row.forms.front() +
                                         ", which cannot be merged with others: the stack is too long");
    dirs.push_back(layout_.layer(id) + "/" + form);
  }
  PlainWorkspace workspace(*this, form);
  const auto total = tree::merge_layers(dirs, workspace.root_fd(), mark_prefix(form), ctx);
  LayerRow row;
  row.bytes = total.bytes;
  row.entries = total.entries;
  row.content = row.exact = key;  // stands for its parts in views only: nobody asks for its own digests
  const LayerId id = workspace.publish(std::move(row));
  put_value("merged", std::string(key.raw()), std::to_string(id));
  return id;
}

std::unique_ptr<Workspace> StoreImpl::directory() { return std::make_unique<PlainWorkspace>(*this, unpack_form()); }

LayerId StoreImpl::unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                          plugin::CallContext& ctx) {
  const std::string form = unpack_form();
  PlainWorkspace workspace(*this, form);
  auto done = store::unpack(tar, workspace.root_fd(), {blob_digest, diff_id, mark_prefix(form), {}}, ctx);
  LayerRow row;
  row.bytes = done.bytes;
  row.entries = done.entries;
  row.diff_id = std::move(done.diff_id);
  row.opaque_root = done.opaque_root;
  return workspace.publish(std::move(row));
}

std::unique_ptr<plugin::ByteStream> StoreImpl::tar_of(LayerId id, plugin::CallContext& ctx) {
  const auto row = index_->layer(id);
  if (!row) throw Error(Code::not_found, "layer " + std::to_string(id) + " is not in the store");
  const std::string form = directory_form(*row);
  if (form.empty())
    throw Error(Code::unsupported,
                "layer " + std::to_string(id) + " exists as " + row->forms.front() + ", of which no tar can be made");
  auto dir = open_file(layout_.layer(id) + "/" + form, O_RDONLY | O_DIRECTORY);
  return std::make_unique<LeasedStream>(lease({id}), tree::tar_layer(std::move(dir), row->opaque_root, ctx));
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
  database_.expire_values({"recipe", "op"}, std::time(nullptr) - week);
  for (auto& change : drops) journal_.add(std::move(change));
  for (const LayerId id : on_disk) sweeper_.remove(layout_.layer(id));
  if (dropped != 0) log_.info("the store dropped " + std::to_string(dropped) + " entries whose data is gone");
  next_layer_ = std::max(database_.next_layer(), highest + 1);
  reserve(next_layer_);
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
