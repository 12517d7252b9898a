#include "core/store/unpack/unpack.h"

#include "core/store/unpack/apply.h"
#include "core/store/unpack/inflate.h"

namespace dagger::store {
namespace {

void verify(const std::string& expected, const Digest& found, const char* what) {
  if (expected.empty() || expected == found.str()) return;
  throw Error(Code::corrupt_data, std::string(what) + " of the layer is " + found.str() + ", not " + expected);
}

}  // namespace

Unpacked unpack(plugin::ByteStream& tar, int root, const UnpackRequest& request, plugin::CallContext& ctx) {
  Inflate bytes(tar, ctx, request.limits, !request.blob_digest.empty());
  TarReader reader([&bytes](std::size_t max) { return bytes.read(max); });
  Apply apply(root, request.mark_prefix, request.limits.entries);
  TarEntry entry;
  while (reader.next(entry)) apply.entry(entry, reader);
  bytes.drain();
  Unpacked result;
  apply.finish(result);
  if (!request.blob_digest.empty()) verify(request.blob_digest, bytes.blob_digest(), "the digest");
  const Digest diff_id = bytes.diff_id();
  verify(request.diff_id, diff_id, "the digest of the uncompressed tar (diff id)");
  result.diff_id = diff_id.str();
  return result;
}

}  // namespace dagger::store
