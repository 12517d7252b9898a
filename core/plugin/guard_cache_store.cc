#include <set>

#include "core/plugin/guard.h"
#include "core/plugin/guard_call.h"

namespace dagger::plugin {
namespace {

using detail::fault;

// Each answer must be one of the questions, once.
template <class Answers, class Name>
void check_subset(const std::vector<std::string>& asked, const Answers& answers, const Name& name) {
  std::set<std::string_view> open(asked.begin(), asked.end());
  for (const auto& a : answers)
    if (open.erase(name(a)) == 0)
      fault("answered about '" + std::string(name(a)) + "', which was not asked for, or twice");
}

class GuardedCacheStore final : public detail::GuardBase<CacheStore> {
 public:
  using GuardBase::GuardBase;
  CacheStoreTraits traits() const override {
    return call("traits", [&] { return inner_.traits(); });
  }
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                           CallContext& ctx) override {
    return call("records", [&] {
      auto found = inner_.records(keys, ctx);
      check_subset(keys, found, [](const auto& r) -> std::string_view { return r.first; });
      for (const auto& [key, record] : found)
        if (record.size() > max_record_bytes) fault("returned a record of " + std::to_string(record.size()) + " bytes");
      return found;
    });
  }
  void put_record(const std::string& key, const std::string& record, const std::vector<std::string>& blobs,
                  CallContext& ctx) override {
    if (record.size() > max_record_bytes)
      throw Error(Code::invalid_argument, "a record of " + std::to_string(record.size()) + " bytes is too large");
    call("put_record", [&] { inner_.put_record(key, record, blobs, ctx); });
  }
  std::vector<std::string> missing(const std::vector<std::string>& digests, CallContext& ctx) override {
    return call("missing", [&] {
      auto lacking = inner_.missing(digests, ctx);
      check_subset(digests, lacking, [](const auto& d) -> std::string_view { return d; });
      return lacking;
    });
  }
  std::unique_ptr<ByteStream> read_blob(const std::string& digest, std::int64_t offset, std::int64_t length,
                                        CallContext& ctx) override {
    return call("read_blob", [&]() -> std::unique_ptr<ByteStream> {
      auto stream = inner_.read_blob(digest, offset, length, ctx);
      if (!stream) fault("returned no stream");
      return std::make_unique<detail::GuardedStream>(label_, std::move(stream));
    });
  }
  void write_blob(const std::string& digest, std::int64_t size, ByteStream& stream, CallContext& ctx) override {
    call("write_blob", [&] { inner_.write_blob(digest, size, stream, ctx); });
  }
  void touch(const std::vector<std::string>& keys_and_digests, CallContext& ctx) override {
    call("touch", [&] { inner_.touch(keys_and_digests, ctx); });
  }
};

}  // namespace

std::unique_ptr<CacheStore> guard_cache_store(LoadedPlugin plugin) {
  return std::make_unique<GuardedCacheStore>(std::move(plugin));
}

}  // namespace dagger::plugin
