#include <cstring>

#include "core/plugin/isolation/conversation.h"
#include "core/plugin/isolation/proxy.h"

namespace dagger::plugin::isolation {
namespace {

// The context of read_blob() is valid as long as the stream.
class StreamProxy final : public ByteStream {
 public:
  explicit StreamProxy(std::unique_ptr<Conversation> talk) : talk_(std::move(talk)) {}
  ~StreamProxy() override {
    try {
      talk_->call(Method::close, "ByteStream::destructor", "");
    } catch (const Error&) {  // it is gone anyway
    }
  }
  StreamProxy(const StreamProxy&) = delete;
  StreamProxy& operator=(const StreamProxy&) = delete;

  std::size_t read(void* buffer, std::size_t size) override {
    const auto wanted = std::min(size, max_inline_bytes);
    const auto piece = talk_->call(Method::read, "ByteStream::read", cbor::pack(Number{wanted}));
    if (piece.kind != Kind::piece || piece.body.size() > wanted)
      talk_->broken("a stream was read and gave no bytes, or too many");
    std::memcpy(buffer, piece.body.data(), piece.body.size());
    return piece.body.size();
  }

 private:
  const std::unique_ptr<Conversation> talk_;
};

class CacheProxy final : public Proxy<CacheStore> {
 public:
  using Proxy::Proxy;
  CacheStoreTraits traits() const override { return plugin_->started().traits; }
  std::vector<std::pair<std::string, std::string>> records(const std::vector<std::string>& keys,
                                                           CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx});
    // Each record, its key, and a little for the encoding of both.
    std::size_t most = 64;
    for (const auto& key : keys) most += max_record_bytes + key.size() + 64;
    return talk.call<Records>(Method::records, "records", Texts{keys}, most).records;
  }
  void put_record(const std::string& key, const std::string& record, const std::vector<std::string>& blobs,
                  CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx});
    talk.call(Method::put_record, "put_record", cbor::pack(PutRecordCall{key, record, blobs}));
  }
  std::vector<std::string> missing(const std::vector<std::string>& digests, CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx});
    return talk.call<Texts>(Method::missing, "missing", Texts{digests}).texts;
  }
  std::unique_ptr<ByteStream> read_blob(const std::string& digest, std::int64_t offset, std::int64_t length,
                                        CallContext& ctx) override {
    auto talk = std::make_unique<Conversation>(*plugin_, Caller{.context = &ctx});
    const auto there =
        talk->call<Number>(Method::read_blob, "read_blob", ReadBlobCall{digest, offset, length}).number != 0;
    return there ? std::make_unique<StreamProxy>(std::move(talk)) : nullptr;
  }
  void write_blob(const std::string& digest, std::int64_t size, ByteStream& stream, CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx, .input = &stream});
    talk.call(Method::write_blob, "write_blob", cbor::pack(WriteBlobCall{digest, size}));
  }
  void touch(const std::vector<std::string>& keys_and_digests, CallContext& ctx) override {
    Conversation talk(*plugin_, {.context = &ctx});
    talk.call(Method::touch, "touch", cbor::pack(Texts{keys_and_digests}));
  }
};

}  // namespace

std::unique_ptr<Plugin> make_cache_proxy(SupervisorPtr plugin) {
  return std::make_unique<CacheProxy>(std::move(plugin));
}

}  // namespace dagger::plugin::isolation
