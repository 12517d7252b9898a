// A cache that crashes while a blob is read or written, where the digest says so; else it gives what fits the question.
#include <cstdlib>
#include <cstring>

#include "dagger/plugin/cache_store.h"
#include "dagger/plugin/export.h"
namespace {

using namespace dagger;
using namespace dagger::plugin;

struct Letters final : ByteStream {
  explicit Letters(bool breaks) : crashes(breaks) {}
  std::size_t read(void* buffer, std::size_t size) override {
    if (pieces++ == 2 && crashes) std::abort();
    if (pieces > 3) return 0;
    std::memset(buffer, 'a', size);
    return size;
  }
  const bool crashes;
  int pieces = 0;
};

struct FragileCache final : CacheStore {
  FragileCache(Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return R"({"type": "object"})"; }
  CacheStoreTraits traits() const override { return {false, true}; }
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                           CallContext&) override {
    std::vector<std::pair<std::string, std::string>> found;
    for (const auto& key : keys) found.emplace_back(key, std::string(max_record_bytes, 'r'));
    return found;
  }
  void put_record(const std::string&, const std::string&, const std::vector<std::string>&, CallContext&) override {}
  std::vector<std::string> missing(const std::vector<std::string>& digests, CallContext&) override { return digests; }
  std::unique_ptr<ByteStream> read_blob(const std::string& digest, std::int64_t, std::int64_t, CallContext&) override {
    if (digest == "none") return nullptr;
    return std::make_unique<Letters>(digest == "abort");
  }
  void write_blob(const std::string& digest, std::int64_t, ByteStream& stream, CallContext&) override {
    char buffer[1000];
    while (stream.read(buffer, sizeof buffer) != 0)
      if (digest == "abort") std::abort();
  }
  void touch(const std::vector<std::string>&, CallContext&) override {}
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::CacheStore, FragileCache, "fragile_cache", "1.0.0", "Zoo");
