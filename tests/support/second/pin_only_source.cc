#include "tests/support/second/pin_only_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/base/fs.h"

namespace dagger::testing {
namespace {

void check(const plugin::SourceRef& ref, const plugin::CallContext& ctx) {
  if (ref.scheme != "text")
    throw Error(Code::unsupported, "scheme '" + ref.scheme + "' is not served by the text source");
  if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
}

}  // namespace

plugin::PinResult PinOnlySource::pin(const plugin::SourceRef& ref, const std::optional<plugin::Pin>&,
                                     plugin::SourceSink&, plugin::CallContext& ctx) {
  check(ref, ctx);
  plugin::PinResult result;
  result.pin.digest = Digest::of(ref.location).str();
  result.pin.identity = "text:" + ref.location;
  result.shape = plugin::SourceShape::file;
  result.file_name = "content";
  result.layers.emplace_back();
  result.layers[0].id = result.pin.digest;
  result.layers[0].size = static_cast<std::int64_t>(ref.location.size());
  return result;
}

void PinOnlySource::fetch(const plugin::SourceRef& ref, const plugin::Pin& pin, const plugin::SourceLayer& layer,
                          plugin::SourceSink& sink, plugin::CallContext& ctx) {
  check(ref, ctx);
  if (pin.digest != Digest::of(ref.location).str()) throw Error(Code::corrupt_data, "the pin is not of this reference");
  if (sink.have(layer)) return;
  const auto directory = sink.directory(layer);
  const auto file = open_at(directory->fd(), "content", O_WRONLY | O_CREAT | O_EXCL, 0644);
  write_all(file.get(), ref.location);
  const timespec epoch[2] = {};
  if (::futimens(file.get(), epoch) != 0) throw_errno("set the time of content");
  directory->done();
}

}  // namespace dagger::testing
