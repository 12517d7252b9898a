#include "tests/support/fake_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>

#include "core/store/layer_digest.h"
#include "core/store/rows.h"
#include "core/store/tree/copy.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/unpack/unpack.h"

namespace dagger::testing {
namespace {

namespace fs = std::filesystem;

UniqueFd open_directory(const std::string& path) { return open_file(path, O_RDONLY | O_DIRECTORY); }

class MemoryWorkspace final : public store::Workspace {
 public:
  explicit MemoryWorkspace(MemoryStore& store) : store_(store), path_(store.work_dir()), root_(open_directory(path_)) {}
  ~MemoryWorkspace() override { remove_tree(path_); }
  MemoryWorkspace(const MemoryWorkspace&) = delete;
  MemoryWorkspace& operator=(const MemoryWorkspace&) = delete;
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return false; }
  std::optional<store::LayerId> seal(plugin::CallContext&) override {
    if (fs::is_empty(path_)) return std::nullopt;
    return store_.publish(path_, "");
  }

 private:
  MemoryStore& store_;
  const std::string path_;
  UniqueFd root_;
};

class DirectoryView final : public plugin::View {
 public:
  DirectoryView() : root_(open_directory(dir_.path())) {}
  int root_fd() const noexcept override { return root_.get(); }
  bool detached_mount() const noexcept override { return false; }
  plugin::SealedLayer seal(plugin::CallContext&) override {
    throw Error(Code::invalid_argument, "a view is read-only");
  }

 private:
  TempDir dir_;
  UniqueFd root_;
};

class TarOfDirectory final : public plugin::ByteStream {
 public:
  TarOfDirectory(const std::string& path, plugin::CallContext& ctx)
      : root_(open_directory(path)), tar_(store::tree::tar_tree(root_.get(), "/", ctx)) {}
  std::size_t read(void* buffer, std::size_t size) override { return tar_->read(buffer, size); }

 private:
  UniqueFd root_;
  std::unique_ptr<plugin::ByteStream> tar_;
};

}  // namespace

MemoryStore::MemoryStore() {
  for (const char* name : {"layers", "scratch", "work", "volumes"}) make_dirs(dir_.path() + "/" + name);
}

// ---- for tests ----

void MemoryStore::hold_digests() {
  const std::lock_guard lock(mutex_);
  hold_digests_ = true;
}

void MemoryStore::refuse_values(std::optional<std::size_t> after) {
  const std::lock_guard lock(mutex_);
  values_left_ = after;
}

void MemoryStore::refuse_blob_files() {
  const std::lock_guard lock(mutex_);
  refuse_blob_files_ = true;
}

void MemoryStore::forget_blobs() {
  const std::lock_guard lock(mutex_);
  blobs_.clear();
}

void MemoryStore::break_lookup(const Digest& key) {
  const std::lock_guard lock(mutex_);
  broken_lookup_ = key;
}

void MemoryStore::digest_now() {
  std::vector<Function<void()>> due;
  {
    const std::lock_guard lock(mutex_);
    hold_digests_ = false;
    for (auto& layer : layers_)
      if (layer.content.zero()) digest(layer);
    due = std::exchange(when_digested_, {});
  }
  for (auto& f : due) f();
}

std::string MemoryStore::all_that_rests() const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const auto& [key, record] : records_) {
    all += store::encode(*record);
    for (const auto& part : record->parts) all += part.name;
  }
  for (const auto& [digest, text] : blobs_) all += text;
  for (const auto& [name, text] : values_) all += name.first + name.second + text;
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) {
    all += entry.path().string();
    if (entry.is_regular_file()) all += read_file(entry.path());
  }
  return all;
}

std::string MemoryStore::blob(const Digest& digest) const {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) throw Error(Code::not_found, "no blob " + digest.str());
  return found->second;
}

std::size_t MemoryStore::lookups() const {
  const std::lock_guard lock(mutex_);
  return lookups_;
}

std::size_t MemoryStore::leased() const {
  const std::lock_guard lock(mutex_);
  return leases_.size();
}

// ---- records ----

std::shared_ptr<const store::Record> MemoryStore::find(const Digest& key) const {
  const std::lock_guard lock(mutex_);
  ++lookups_;
  if (broken_lookup_ == key) {
    broken_lookup_.reset();
    throw std::runtime_error("the test's store broke");
  }
  const auto alias = keys_.find(key);
  const auto found = records_.find(alias == keys_.end() ? key : alias->second);
  return found == records_.end() ? nullptr : found->second;
}

void MemoryStore::put(store::Record record) {
  const std::lock_guard lock(mutex_);
  slots_[record.slot] = record.key;
  const Digest key = record.key;
  records_[key] = std::make_shared<const store::Record>(std::move(record));
}

void MemoryStore::add_key(const Digest& extra, const Digest& key) {
  const std::lock_guard lock(mutex_);
  keys_[extra] = key;
}

std::shared_ptr<const store::Record> MemoryStore::last_in_slot(const Digest& slot) const {
  const std::lock_guard lock(mutex_);
  const auto key = slots_.find(slot);
  const auto found = key == slots_.end() ? records_.end() : records_.find(key->second);
  return found == records_.end() ? nullptr : found->second;
}

void MemoryStore::drop(const Digest& key) {
  const std::lock_guard lock(mutex_);
  records_.erase(key);
}

// ---- layers ----

void MemoryStore::digest(Layer& layer) const {
  const std::atomic<bool> never = false;
  if (const auto digests = store::digest_layer(open_directory(layer.path).get(), never))
    layer.content = digests->content, layer.exact = digests->exact;
}

std::string MemoryStore::work_dir() {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    path = dir_.path() + "/work/" + std::to_string(next_work_++);
  }
  make_dirs(path);
  return path;
}

store::LayerId MemoryStore::publish(const std::string& path, std::string diff_id) {
  Layer layer{"", std::move(diff_id), {}, {}};
  const std::lock_guard lock(mutex_);
  const auto id = layers_.size() + 1;
  layer.path = dir_.path() + "/layers/" + std::to_string(id);
  fs::rename(path, layer.path);
  if (!hold_digests_) digest(layer);
  layers_.push_back(std::move(layer));
  return id;
}

std::optional<store::LayerInfo> MemoryStore::layer(store::LayerId id) const {
  const std::lock_guard lock(mutex_);
  if (id == 0 || id > layers_.size()) return std::nullopt;
  const auto& at = layers_[id - 1];
  store::LayerInfo info;
  info.id = id;
  info.places = {{plugin::form::overlay_user, at.path}};
  if (!at.content.zero()) info.content = at.content, info.exact = at.exact;
  info.diff_id = at.diff_id;
  return info;
}

std::optional<store::LayerId> MemoryStore::by_diff_id(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    if (!diff_id.empty() && layers_[i].diff_id == diff_id) return i + 1;
  return std::nullopt;
}

std::unique_ptr<store::Lease> MemoryStore::lease(const store::Stack& stack) {
  class Counted final : public store::Lease {
   public:
    Counted(MemoryStore& s, store::Stack layers) : store_(s), stack_(std::move(layers)) { count(1); }
    ~Counted() override { count(-1); }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    void count(int by) {
      const std::lock_guard lock(store_.mutex_);
      for (const auto id : stack_)
        if ((store_.leases_[id] += by) == 0) store_.leases_.erase(id);
    }
    MemoryStore& store_;
    const store::Stack stack_;
  };
  return std::make_unique<Counted>(*this, stack);
}

std::optional<Digest> MemoryStore::stack_digest(const store::Stack& stack, bool exact) const {
  const std::lock_guard lock(mutex_);
  std::string all = exact ? "exact" : "content";
  for (const auto id : stack) {
    const auto& at = layers_.at(id - 1);
    if (at.content.zero()) return std::nullopt;
    all += (exact ? at.exact : at.content).raw();
  }
  return Digest::of(all);
}

void MemoryStore::when_digested(const store::Stack&, Function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    if (hold_digests_) return when_digested_.push_back(std::move(f));
  }
  f();
}

std::unique_ptr<plugin::View> MemoryStore::view(const store::Stack& stack, plugin::CallContext& ctx) {
  auto view = std::make_unique<DirectoryView>();
  for (const auto id : stack)
    store::tree::copy(open_directory(layer(id).value().places[0].path).get(), "/", view->root_fd(), "/", {}, ctx);
  return view;
}

std::unique_ptr<store::Workspace> MemoryStore::workspace(const store::Stack&, const std::vector<plugin::MountStub>&,
                                                         plugin::CallContext&) {
  return directory();
}

std::unique_ptr<store::Workspace> MemoryStore::directory() { return std::make_unique<MemoryWorkspace>(*this); }

store::LayerId MemoryStore::unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                                   plugin::CallContext& ctx) {
  const auto path = work_dir();
  auto done = store::unpack(tar, open_directory(path).get(), {blob_digest, diff_id, "user.overlay.", {}}, ctx);
  return publish(path, std::move(done.diff_id));
}

std::unique_ptr<plugin::ByteStream> MemoryStore::tar_of(store::LayerId id, plugin::CallContext& ctx) {
  return std::make_unique<TarOfDirectory>(layer(id).value().places[0].path, ctx);
}

// ---- the rest ----

Digest MemoryStore::put_blob(std::string_view data) {
  const auto digest = Digest::of(data);
  const std::lock_guard lock(mutex_);
  blobs_.emplace(digest, data);
  return digest;
}

Digest MemoryStore::put_blob_file(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    if (refuse_blob_files_) throw Error(Code::no_space, "the test's store is full");
  }
  const auto digest = put_blob(read_file(path, std::size_t{1} << 30));
  fs::remove(path);
  return digest;
}

UniqueFd MemoryStore::open_blob(const Digest& digest) const { return sealed_memfd(blob(digest), "blob"); }

void MemoryStore::put_value(const std::string& table, const std::string& key, std::string value) {
  const std::lock_guard lock(mutex_);
  if (values_left_ && (*values_left_)-- == 0) {
    values_left_ = 0;
    throw Error(Code::no_space, "the test's store is full");
  }
  values_[{table, key}] = std::move(value);
}

std::optional<std::string> MemoryStore::value(const std::string& table, const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find({table, key});
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

store::Store::Volume MemoryStore::volume(const Digest& instance, Function<void(int root_fd)> fill) {
  const std::string path = volumes_dir() + "/" + instance.hex();
  if (exists(path)) return {path, false};
  make_dirs(path);
  if (fill) fill(open_directory(path).get());
  return {path, true};
}

store::Usage MemoryStore::usage() const {
  const std::lock_guard lock(mutex_);
  store::Usage usage;
  usage.layers = layers_.size();
  usage.records = records_.size();
  usage.blobs = blobs_.size();
  return usage;
}

}  // namespace dagger::testing
