// dagger/plugin/cache_store.h — an extra tier of records and blobs behind the local store.
//
// Never needed for correctness: what it loses is made again, and an error costs the engine a warning and a run. A
// record is stored last, after every blob it names; a reader checks digests itself. Keys and digests are
// "algorithm:hex". Records are opaque bytes to the tier, of max_record_bytes at most; blobs are of any size, and hold
// what compresses well (tars, logs): a tier may compress them. One engine asks from several threads, several engines
// may share what is behind it. Every method throws unavailable (network, login), permission_denied, cancelled, and
// no_space where it writes.
#pragma once
#include <memory>
#include <utility>

#include "dagger/plugin/plugin.h"

namespace dagger::plugin {

inline constexpr std::size_t max_record_bytes = 1 << 20;

struct CacheStoreTraits {
  bool writable = true;
  bool remote = false;  // worth asking in batches and in the background only
};

// [thread-safe] [blocking]
class CacheStore : public Plugin {
 public:
  static constexpr const char* kind = "cache";
  virtual CacheStoreTraits traits() const = 0;
  // The records of those keys that exist; at most one per key. Order is free.
  virtual std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                                   CallContext& ctx) = 0;
  // Atomic: a reader sees the old record, the new one, or none. blobs: the digests of all that the record names, for
  // tiers that drop what nothing refers to (a registry needs a manifest of them).
  virtual void put_record(const std::string& key, const std::string& record, const std::vector<std::string>& blobs,
                          CallContext& ctx) = 0;
  // Which of these blobs the tier lacks.
  virtual std::vector<std::string> missing(const std::vector<std::string>& digests, CallContext& ctx) = 0;
  // length < 0: to the end. Throws not_found. The stream is read while ctx is valid and throws like a method.
  virtual std::unique_ptr<ByteStream> read_blob(const std::string& digest, std::int64_t offset, std::int64_t length,
                                                CallContext& ctx) = 0;
  // Reads stream to its end; stores nothing unless the bytes have this digest (throws corrupt_data) and size (never
  // unknown). Idempotent; two writers of one blob do not disturb each other.
  virtual void write_blob(const std::string& digest, std::int64_t size, ByteStream& stream, CallContext& ctx) = 0;
  // Keeps these from being expired soon. Unknown ones are ignored.
  virtual void touch(const std::vector<std::string>& keys_and_digests, CallContext& ctx) = 0;
};

}  // namespace dagger::plugin
