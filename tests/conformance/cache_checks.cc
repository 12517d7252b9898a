#include <cstring>

#include "core/base/digest.h"
#include "tests/conformance/kit.h"
#include "tests/support/fake_host.h"

namespace dagger::conformance {
namespace {

using namespace dagger::plugin;
constexpr const char* cache_h = "dagger/plugin/cache_store.h";

class Text final : public ByteStream {
 public:
  explicit Text(std::string_view text, bool breaks = false) : rest_(text), breaks_(breaks) {}
  std::size_t read(void* buffer, std::size_t size) override {
    if (breaks_ && rest_.empty()) throw Error(Code::unavailable, "the stream broke");
    const auto n = std::min({size, rest_.size(), std::size_t{1000}});
    std::memcpy(buffer, rest_.data(), n);
    rest_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view rest_;
  bool breaks_;
};

std::string all_of(ByteStream& stream) {
  std::string text;
  char buffer[777];
  while (const auto n = stream.read(buffer, sizeof buffer)) text.append(buffer, n);
  return text;
}

struct Bench {
  explicit Bench(const Kit& kit) : loaded(kit.load()), cache(*loaded->registry().caches().at(0)) {
    if (!cache.traits().writable) throw Skipped{"it is read only"};
  }
  std::unique_ptr<Loaded> loaded;
  CacheStore& cache;
  dagger::testing::FakeContext ctx;
};

// A key that this run alone uses: the tier may be shared.
std::string fresh(const std::string& name) {
  return Digest::of(name + std::to_string(::getpid()) + std::to_string(reinterpret_cast<std::uintptr_t>(&name))).str();
}

void blobs(const Kit& kit) {
  Bench b(kit);
  const std::string text = fresh("blob") + std::string(100'000, 'x') + "end";
  const auto digest = Digest::of(text).str();
  const auto size = static_cast<std::int64_t>(text.size());
  expect(b.cache.missing({digest}, b.ctx) == std::vector{digest}, "a blob that was never written is not missing");
  expect(error_of([&] { b.cache.read_blob(digest, 0, -1, b.ctx); }) == Code::not_found,
         "reading a missing blob is not not_found");
  for (int i = 0; i < 2; ++i) {
    Text stream(text);
    b.cache.write_blob(digest, size, stream, b.ctx);
  }
  expect(b.cache.missing({digest}, b.ctx).empty(), "a blob is missing after it was written");
  expect(all_of(*b.cache.read_blob(digest, 0, -1, b.ctx)) == text, "a blob has other bytes than were written");
  expect(all_of(*b.cache.read_blob(digest, size - 3, -1, b.ctx)) == "end", "reading from an offset gives other bytes");
  expect(all_of(*b.cache.read_blob(digest, 71, 10, b.ctx)) == "xxxxxxxxxx", "reading a range gives other bytes");
  b.cache.touch({digest, fresh("never-seen")}, b.ctx);
}

void wrong_digest(const Kit& kit) {
  Bench b(kit);
  const auto digest = Digest::of(fresh("other")).str();
  Text stream("not what was promised");
  expect(error_of([&] { b.cache.write_blob(digest, 21, stream, b.ctx); }) == Code::corrupt_data,
         "wrong bytes are not refused as corrupt_data");
  expect(b.cache.missing({digest}, b.ctx) == std::vector{digest}, "wrong bytes were stored");
}

void broken_stream(const Kit& kit) {
  Bench b(kit);
  const std::string text = fresh("half");
  const auto digest = Digest::of(text).str();
  Text stream(text, true);
  expect(
      error_of([&] { b.cache.write_blob(digest, static_cast<std::int64_t>(text.size()), stream, b.ctx); }).has_value(),
      "write_blob() returned though the stream threw");
  expect(b.cache.missing({digest}, b.ctx) == std::vector{digest}, "a blob was stored though its stream broke");
}

void records(const Kit& kit) {
  Bench b(kit);
  const auto key = fresh("key"), other = fresh("other key");
  const std::string record("opaque \0 bytes", 14);
  expect(b.cache.records({key, other}, b.ctx).empty(), "a record that was never put is there");
  b.cache.put_record(key, record, {}, b.ctx);
  const auto found = b.cache.records({other, key}, b.ctx);
  expect(found.size() == 1 && found[0].first == key && found[0].second == record, "a record is not what was put");
  b.cache.put_record(key, "newer", {}, b.ctx);
  expect(b.cache.records({key}, b.ctx).at(0).second == "newer", "a record that was put again shows its old text");
  expect(b.cache.records({}, b.ctx).empty() && b.cache.missing({}, b.ctx).empty(),
         "asking for nothing gives something");
}

void hostile_names(const Kit& kit) {
  Bench b(kit);
  for (const auto& name : {std::string(), std::string("../../../etc/passwd"), std::string("sha256:../x"),
                           std::string("a\0b", 3), std::string(5000, 'a')}) {
    outcome([&] { b.cache.records({name}, b.ctx); });
    outcome([&] { b.cache.missing({name}, b.ctx); });
    outcome([&] { b.cache.touch({name}, b.ctx); });
    expect(error_of([&] { all_of(*b.cache.read_blob(name, 0, -1, b.ctx)); }).has_value(),
           "a blob called \"" + name.substr(0, 40) + "\" can be read");
  }
}

void threads(const Kit& kit) {
  Bench b(kit);
  const auto shared = fresh("shared");
  const auto digest = Digest::of(shared).str();
  on_8_threads([&](int i) {
    dagger::testing::FakeContext ctx;
    for (int round = 0; round < 20; ++round) {
      Text stream(shared);
      b.cache.write_blob(digest, static_cast<std::int64_t>(shared.size()), stream, ctx);
      b.cache.put_record(digest, std::string(1000, static_cast<char>('a' + i)), {}, ctx);
      const auto found = b.cache.records({digest}, ctx);
      expect(found.size() == 1 && found[0].second == std::string(1000, found[0].second.at(0)),
             "a record is a mixture of two");
      expect(all_of(*b.cache.read_blob(digest, 0, -1, ctx)) == shared, "a blob is damaged by a second writer");
    }
  });
}

void cancelled(const Kit& kit) {
  Bench b(kit);
  struct Endless final : ByteStream {
    std::size_t read(void* buffer, std::size_t size) override {
      std::memset(buffer, 0, std::min<std::size_t>(size, 1000));
      return std::min<std::size_t>(size, 1000);
    }
  };
  expect_prompt_cancel(kit, [&](CancelToken token) {
    dagger::testing::FakeContext ctx(token);
    Endless stream;
    b.cache.write_blob(fresh("endless"), -1, stream, ctx);
  });
}

void footprint(const Kit& kit) {
  Bench b(kit);
  const auto use = [&] {
    const auto text = fresh("footprint");
    Text stream(text);
    b.cache.write_blob(Digest::of(text).str(), static_cast<std::int64_t>(text.size()), stream, b.ctx);
    all_of(*b.cache.read_blob(Digest::of(text).str(), 0, -1, b.ctx));
    b.cache.put_record(text, "x", {}, b.ctx);
  };
  use();
  const auto before = Footprint::now();
  for (int i = 0; i < 20; ++i) use();
  const auto difference = before.difference(Footprint::now(), true);
  expect(difference.empty(), "after 20 blobs " + difference);
}

}  // namespace

void add_cache_checks(Checks& checks) {
  checks.push_back({"cache.blobs",
                    "blobs come back whole and by range; writing twice is no error; a missing one is not_found",
                    cache_h, blobs});
  checks.push_back({"cache.wrong-digest", "bytes with another digest are refused as corrupt_data and not stored",
                    cache_h, wrong_digest});
  checks.push_back({"cache.broken-stream", "nothing is stored when the stream breaks", cache_h, broken_stream});
  checks.push_back({"cache.records",
                    "records come back as they were put; a second put replaces; unknown keys are absent", cache_h,
                    records});
  checks.push_back(
      {"cache.hostile-names", "whatever a key or digest is, only dagger::Error leaves", cache_h, hostile_names});
  checks.push_back(
      {"cache.threads", "8 threads that write and read the same names see whole records and blobs", cache_h, threads});
  checks.push_back({"cache.cancel", "a cancelled write_blob() returns within 2 s, by Error{cancelled}",
                    "dagger/plugin/plugin.h", cancelled});
  checks.push_back(
      {"cache.footprint", "no fd and no thread is left behind by calls", "dagger/plugin/plugin.h", footprint});
}

}  // namespace dagger::conformance
