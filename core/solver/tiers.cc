#include "core/solver/tiers.h"

#include <fcntl.h>

#include "core/base/cbor_fields.h"
#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/solver/stack_walk.h"

namespace dagger::solver {

// A record as a tier keeps it: layers by the digest of their tar instead of this store's numbers.
struct TierOutput {
  std::string name;
  std::int32_t base_input = -1;
  std::vector<Digest> layers;
};
struct TierRecord {
  std::string kind;
  std::vector<TierOutput> outputs;
  std::int32_t exit_code = 0;
  Digest stdout_log, stderr_log;
  std::uint64_t cost_usec = 0;
};
template <class A>
void fields(A& a, TierOutput& o) {
  a.begin(3), a.field(o.name), a.field(o.base_input), a.digests(o.layers);
}
template <class A>
void fields(A& a, TierRecord& r) {
  a.begin(6), a.field(r.kind), a.list(r.outputs), a.field(r.exit_code), a.field(r.stdout_log), a.field(r.stderr_log),
      a.field(r.cost_usec);
}

namespace {

constexpr std::size_t max_log = std::size_t{1} << 30;

std::string read_stream(plugin::ByteStream& stream, std::size_t limit) {
  std::string out;
  std::vector<char> buffer(1 << 16);
  while (const std::size_t n = stream.read(buffer.data(), buffer.size())) {
    if (out.size() + n > limit) throw Error(Code::corrupt_data, "a log in the cache tier is too large");
    out.append(buffer.data(), n);
  }
  return out;
}

class FileStream final : public plugin::ByteStream {
 public:
  explicit FileStream(UniqueFd fd) : fd_(std::move(fd)) {}
  std::size_t read(void* buffer, std::size_t size) override {
    for (;;) {
      const ssize_t n = ::read(fd_.get(), buffer, size);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) throw_errno("read a blob");
    }
  }

 private:
  UniqueFd fd_;
};

void put_file(plugin::CacheStore& tier, const Digest& digest, UniqueFd fd, plugin::CallContext& ctx) {
  const auto size = ::lseek(fd.get(), 0, SEEK_END);
  ::lseek(fd.get(), 0, SEEK_SET);
  FileStream stream(std::move(fd));
  tier.write_blob(digest.str(), size, stream, ctx);
}

std::vector<std::string> blobs_of(const TierRecord& record) {
  std::vector<std::string> blobs;
  for (const auto& o : record.outputs)
    for (const auto& layer : o.layers) blobs.push_back(layer.str());
  for (const auto& log : {record.stdout_log, record.stderr_log})
    if (!log.zero()) blobs.push_back(log.str());
  return blobs;
}

// What has to stay in a tier for this record to stay of use.
std::vector<std::string> with_blobs(const std::string& key, const std::string& encoded) {
  auto names = blobs_of(cbor::unpack<TierRecord>(encoded));
  names.push_back(key);
  return names;
}

}  // namespace

std::optional<store::Record> CacheTiers::find(const dag::Op& op, const std::vector<Digest>& keys,
                                              plugin::CallContext& ctx) {
  std::vector<std::string> names;
  for (const auto& k : keys) names.push_back(k.str());
  for (const auto& [name, tier] : tiers_) {
    try {
      for (const auto& [key, encoded] : tier->records(names, ctx)) {
        auto record = bring(*tier, op, encoded, ctx);
        tier->touch(with_blobs(key, encoded), ctx);
        return record;
      }
    } catch (const Error& e) {
      if (e.code() == Code::cancelled) throw;
      log_.warn("cache tier '" + name + "' could not give a record: " + e.what());
    }
  }
  return std::nullopt;
}

store::Record CacheTiers::bring(plugin::CacheStore& tier, const dag::Op& op, const std::string& encoded,
                                plugin::CallContext& ctx) {
  const auto from = cbor::unpack<TierRecord>(encoded);
  store::Record record;
  record.kind = from.kind;
  record.exit_code = from.exit_code;
  record.cost_usec = from.cost_usec;
  for (const auto& o : from.outputs) record.outputs.push_back({o.name, o.base_input, {}});
  if (record.kind != dag::kind_name(op) || !complete(record, op))
    throw Error(Code::corrupt_data, "what it has for the key of an op '" + std::string(dag::kind_name(op)) +
                                        "' is no record of that op; remove it from the tier");
  for (std::size_t i = 0; i < from.outputs.size(); ++i)
    for (const auto& digest : from.outputs[i].layers) {
      const std::string id = digest.str();
      auto layer = store_.by_diff_id(id);
      if (!layer) layer = store_.unpack(*tier.read_blob(id, 0, -1, ctx), id, id, ctx);
      record.outputs[i].layers.push_back(*layer);
    }
  const auto bring_log = [&](const Digest& digest) {
    if (digest.zero()) return digest;
    const auto got = store_.put_blob(read_stream(*tier.read_blob(digest.str(), 0, -1, ctx), max_log));
    if (got != digest) throw Error(Code::corrupt_data, "a log in the cache tier has another digest than its name");
    return got;
  };
  record.stdout_log = bring_log(from.stdout_log);
  record.stderr_log = bring_log(from.stderr_log);
  return record;
}

void CacheTiers::copy(plugin::CacheStore& tier, const store::Record& record, const Digest& key,
                      plugin::CallContext& ctx) {
  TierRecord to{record.kind, {}, record.exit_code, record.stdout_log, record.stderr_log, record.cost_usec};
  for (const auto& o : record.outputs) {
    TierOutput out{o.name, o.base_input, {}};
    for (const auto id : o.layers) {
      // The name of a tar is its digest, so it is written to a file first and hashed on the way.
      const auto stream = store_.tar_of(id, ctx);
      UniqueFd file = open_file(store_.scratch_dir(), O_TMPFILE | O_RDWR, 0600);
      Sha256 hash;
      std::vector<char> buffer(1 << 17);
      while (const std::size_t n = stream->read(buffer.data(), buffer.size())) {
        hash.update(buffer.data(), n);
        write_all(file.get(), {buffer.data(), n});
      }
      const Digest digest = hash.finish();
      if (!tier.missing({digest.str()}, ctx).empty()) put_file(tier, digest, std::move(file), ctx);
      out.layers.push_back(digest);
    }
    to.outputs.push_back(std::move(out));
  }
  for (const auto& log : {record.stdout_log, record.stderr_log})
    if (!log.zero() && !tier.missing({log.str()}, ctx).empty()) put_file(tier, log, store_.open_blob(log), ctx);
  tier.put_record(key.str(), cbor::pack(to), blobs_of(to), ctx);
}

void CacheTiers::offer(const store::Record& record, const Digest& key, plugin::CallContext& ctx) {
  for (const auto& [name, tier] : tiers_) {
    try {
      if (tier->traits().writable && tier->records({key.str()}, ctx).empty()) copy(*tier, record, key, ctx);
    } catch (const std::exception& e) {
      if (!ctx.cancelled()) log_.warn("cache tier '" + name + "' did not take a record: " + e.what());
    }
  }
}

}  // namespace dagger::solver
