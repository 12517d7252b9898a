#include "core/session/pins.h"

namespace dagger::session {

Task<Pinned> Pins::pin(link::PinRequest request, CancelToken cancel) {
  const auto key = cbor::pack(request);
  auto start = [this, request](CancelToken token) { return runner_.pin(request, std::move(token)); };
  auto reply = co_await pinned_.get(key, std::move(start), std::move(cancel));
  dag::Source source;
  source.scheme = request.scheme;
  source.location = request.location;
  source.platform = request.platform;
  source.attributes = request.attributes;
  source.pin_digest = reply.digest;
  source.pin_identity = reply.identity;
  Pinned pinned;
  pinned.tree = runner_.add(dag::Op{std::move(source), {}});
  pinned.reply = std::move(reply);
  co_return pinned;
}

}  // namespace dagger::session
