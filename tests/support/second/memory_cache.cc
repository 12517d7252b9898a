#include "tests/support/second/memory_cache.h"

#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include "core/base/digest.h"

namespace dagger::testing {
namespace {

void check(const plugin::CallContext& ctx) {
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
}

// A part of a blob; keeps the blob alive.
class Part final : public plugin::ByteStream {
 public:
  Part(std::shared_ptr<const std::string> blob, std::size_t offset, std::size_t length)
      : blob_(std::move(blob)), rest_(std::string_view(*blob_).substr(offset, length)) {}
  std::size_t read(void* buffer, std::size_t size) override {
    const auto n = std::min(size, rest_.size());
    std::memcpy(buffer, rest_.data(), n);
    rest_.remove_prefix(n);
    return n;
  }

 private:
  std::shared_ptr<const std::string> blob_;
  std::string_view rest_;
};

}  // namespace

MemoryCache::MemoryCache(plugin::Host&, std::string_view settings)
    : read_only_(nlohmann::json::parse(settings).value("read_only", false)) {}

plugin::CacheStoreTraits MemoryCache::traits() const {
  plugin::CacheStoreTraits t;
  t.writable = !read_only_;
  return t;
}

std::vector<std::pair<std::string, std::string>> MemoryCache::records(const std::vector<std::string>& keys,
                                                                      plugin::CallContext& ctx) {
  check(ctx);
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& key : keys)
    if (const auto at = records_.find(key); at != records_.end()) found.push_back(*at);
  return found;
}

void MemoryCache::put_record(const std::string& key, const std::string& record, const std::vector<std::string>&,
                             plugin::CallContext& ctx) {
  check(ctx);
  if (read_only_) throw Error(Code::permission_denied, "this cache is read only; set read_only = false");
  const std::lock_guard lock(mutex_);
  records_[key] = record;
}

std::vector<std::string> MemoryCache::missing(const std::vector<std::string>& digests, plugin::CallContext& ctx) {
  check(ctx);
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lacking;
  for (const auto& d : digests)
    if (blobs_.count(d) == 0) lacking.push_back(d);
  return lacking;
}

std::unique_ptr<plugin::ByteStream> MemoryCache::read_blob(const std::string& digest, std::int64_t offset,
                                                           std::int64_t length, plugin::CallContext& ctx) {
  check(ctx);
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) throw Error(Code::not_found, "no blob " + digest);
  if (offset < 0 || static_cast<std::uint64_t>(offset) > found->second->size())
    throw Error(Code::invalid_argument, "offset " + std::to_string(offset) + " is beyond the blob " + digest);
  return std::make_unique<Part>(found->second, static_cast<std::size_t>(offset),
                                length < 0 ? std::string::npos : static_cast<std::size_t>(length));
}

void MemoryCache::write_blob(const std::string& digest, std::int64_t, plugin::ByteStream& stream,
                             plugin::CallContext& ctx) {
  if (read_only_) throw Error(Code::permission_denied, "this cache is read only; set read_only = false");
  std::string bytes;
  std::array<char, 64 * 1024> buffer;
  while (const auto n = stream.read(buffer.data(), buffer.size())) {
    check(ctx);
    bytes.append(buffer.data(), n);
  }
  check(ctx);
  if (const auto found = Digest::of(bytes).str(); found != digest)
    throw Error(Code::corrupt_data, "the bytes have digest " + found + ", expected " + digest);
  const std::lock_guard lock(mutex_);
  blobs_.emplace(digest, std::make_shared<const std::string>(std::move(bytes)));
}

void MemoryCache::touch(const std::vector<std::string>&, plugin::CallContext& ctx) {
  check(ctx);
}  // nothing ever expires

}  // namespace dagger::testing
