// core/store/store.h — the runner's local state: layers, records, blobs, recipes, pins, cache volumes. The only owner
// of the state directory.
//
// A result is usable once its layer is renamed into place and its record is in the memory index; it is durable within a
// second: a writer syncs the data, then commits the records in one SQLite transaction. No caller waits for a disk
// flush. [thread-safe] Lookups take one short mutex and no system call, so the control thread may make them; whatever
// is marked [blocking] belongs on a pool. Errors: no_space (disk full), corrupt_data, not_found, internal.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/function.h"
#include "core/dag/keys.h"
#include "dagger/plugin/layer.h"
#include "dagger/plugin/snapshotter.h"

namespace dagger {
class Log;
}

namespace dagger::store {

using LayerId = std::uint64_t;       // inside one state directory; never reused
using Stack = std::vector<LayerId>;  // lowest first

struct LayerInfo {
  LayerId id = 0;
  std::vector<plugin::LayerPlace> places;
  std::uint64_t bytes = 0, entries = 0;
  std::optional<Digest> content, exact;  // of the change set; set in the background after sealing
  std::string diff_id;                   // of the tar it came from, "" if none
};

// One named output of a finished op: layers on top of one input's stack, or on nothing.
struct Output {
  std::string name;
  std::int32_t base_input = -1;
  Stack layers;
};

using dag::KeyPart;

struct Record {
  Digest key;        // definition key
  std::string kind;  // of the op
  std::vector<Output> outputs;
  std::int32_t exit_code = 0;     // exec
  Digest stdout_log, stderr_log;  // blobs; zero if none
  std::uint64_t cost_usec = 0;
  std::int64_t created_unix = 0;
  std::vector<KeyPart> parts;
  Digest slot;  // groups records that a person would call "the same step"; see last_in_slot()
};

struct Usage {
  std::uint64_t layers = 0, layer_bytes = 0, records = 0, blobs = 0, blob_bytes = 0;
};

// Without layers that come again further up: what they have is there, and what they hide is hidden.
Stack without_repeats(const Stack& stack);

// A writable view that may become a layer. Dropping it discards what was written. One thread at a time.
class Workspace {
 public:
  virtual ~Workspace() = default;
  virtual int root_fd() const noexcept = 0;
  virtual bool detached_mount() const noexcept = 0;
  virtual int lost_fd() const noexcept { return -1; }  // as plugin::View
  // Turns the changes into a layer and publishes it; empty when nothing changed. [blocking] once
  virtual std::optional<LayerId> seal(plugin::CallContext& ctx) = 0;
};

// Keeps layers from being removed while work uses them.
class Lease {
 public:
  virtual ~Lease() = default;
};

struct Options {
  std::string dir;
  std::chrono::milliseconds commit_interval{500};
  unsigned digest_threads = 1;             // background hashing of sealed layers
  std::chrono::milliseconds lock_wait{0};  // for another runner that is about to leave the directory
};

class Store {
 public:
  // Creates or opens the state directory, takes its lock, and recovers: what a killed runner left half-done is removed
  // in the background. Throws unavailable (another runner has it: names its pid), unsupported (made by a newer
  // version), permission_denied. [blocking]
  static std::unique_ptr<Store> open(Options options, plugin::Snapshotter& snapshotter, Log& log);
  virtual ~Store() = default;  // makes everything durable

  // ---- records ----
  virtual std::shared_ptr<const Record> find(const Digest& key) const = 0;
  virtual void put(Record record) = 0;
  // A further key under which the same record is found (content keys).
  virtual void add_key(const Digest& extra, const Digest& key) = 0;
  // The newest record of a slot: what a step that misses is compared with.
  virtual std::shared_ptr<const Record> last_in_slot(const Digest& slot) const = 0;
  // Forgets a record whose layers turned out to be gone or broken.
  virtual void drop(const Digest& key) = 0;

  // ---- layers ----
  virtual std::optional<LayerInfo> layer(LayerId id) const = 0;
  virtual std::optional<LayerId> by_diff_id(const std::string& diff_id) const = 0;
  virtual std::unique_ptr<Lease> lease(const Stack& stack) = 0;
  // Digest of a stack's content if every layer's is known: H(layer digests in order). exact: times included.
  virtual std::optional<Digest> stack_digest(const Stack& stack, bool exact) const = 0;
  // Runs f (on any thread) once the digests of these layers are known or known to be impossible.
  virtual void when_digested(const Stack& stack, Function<void()> f) = 0;

  // Read-only root of a stack. [blocking]
  virtual std::unique_ptr<plugin::View> view(const Stack& stack, plugin::CallContext& ctx) = 0;
  // [blocking]
  virtual std::unique_ptr<Workspace> workspace(const Stack& base, const std::vector<plugin::MountStub>& stubs,
                                               plugin::CallContext& ctx) = 0;
  // An empty plain directory (mode 0755) that becomes a layer as it is: for whole trees that are put together without
  // the snapshotter. What is in it must have the marks of the form that unpack() makes. [blocking]
  virtual std::unique_ptr<Workspace> directory() = 0;
  // Unpacks a layer tar (plain, gzip or zstd, told by its magic); verifies blob_digest (of the bytes as they come) and
  // diff_id where not empty. Nothing is ever written outside the new layer. [blocking]
  virtual LayerId unpack(plugin::ByteStream& tar, const std::string& blob_digest, const std::string& diff_id,
                         plugin::CallContext& ctx) = 0;
  // The change set as an uncompressed OCI layer tar (AUFS whiteouts), reproducible. [blocking]
  virtual std::unique_ptr<plugin::ByteStream> tar_of(LayerId id, plugin::CallContext& ctx) = 0;

  // ---- blobs: logs of execs, results of sources, small things ----
  virtual Digest put_blob(std::string_view data) = 0;          // [blocking]
  virtual Digest put_blob_file(const std::string& path) = 0;   // moves the file in [blocking]
  virtual UniqueFd open_blob(const Digest& digest) const = 0;  // throws not_found [blocking]
  virtual std::string scratch_dir() const = 0;                 // on the state's file system; emptied at every start

  // ---- names that survive ----
  // table is "recipe", "op", "pin", "local", ...; keys and values are opaque bytes. Values of "recipe" and what they
  // name expire after 7 unused days.
  virtual void put_value(const std::string& table, const std::string& key, std::string value) = 0;
  virtual std::optional<std::string> value(const std::string& table,
                                           const std::string& key) = 0;  // [blocking] on a cold key

  // ---- cache volumes ----
  // Path of the volume's directory, and whether this call made it. fill (may be empty) is called with the root
  // directory of a new volume before anybody sees it; a volume that was not filled to the end does not exist.
  // [blocking]
  struct Volume {
    std::string path;
    bool fresh = false;
  };
  virtual Volume volume(const Digest& instance, Function<void(int root_fd)> fill = {}) = 0;

  // Everything published before the call is durable when this returns. [blocking]
  virtual void flush() = 0;
  virtual Usage usage() const = 0;
};

}  // namespace dagger::store
