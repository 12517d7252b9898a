// source-archive: "archive:https://host/x.tar.gz#sha256=...&strip=1" is the directory that the archive contains.
#include <dagger/plugin/export.h>
#include <dagger/plugin/source.h>

#include <nlohmann/json.hpp>

#include "download.h"
#include "local_file.h"
#include "reference.h"
#include "repack.h"
#include "spool.h"

namespace source_archive {
namespace {

using dagger::Code;
using dagger::Error;
using dagger::plugin::CallContext;
using dagger::plugin::Host;
using dagger::plugin::Pin;
using dagger::plugin::PinResult;
using dagger::plugin::Source;
using dagger::plugin::SourceLayer;
using dagger::plugin::SourceRef;
using dagger::plugin::SourceSink;

// The host has checked the text against the schema.
struct Settings {
  std::int64_t max_download_bytes;
  RepackLimits unpacked;
  Timeouts timeouts;
  std::vector<std::string> file_roots;

  explicit Settings(std::string_view text) {
    const auto json = nlohmann::json::parse(text);
    max_download_bytes = json.value("max_download_bytes", std::int64_t{4} << 30);
    unpacked.bytes = json.value("max_unpacked_bytes", std::int64_t{16} << 30);
    unpacked.entries = json.value("max_entries", std::int64_t{1'000'000});
    timeouts.connect = json.value("connect_timeout_seconds", timeouts.connect);
    timeouts.stall = json.value("stall_timeout_seconds", timeouts.stall);
    timeouts.total = json.value("timeout_seconds", timeouts.total);
    for (std::string root : json.value("file_roots", std::vector<std::string>())) {
      if (root[0] != '/' || (root + "/").find("/../") != std::string::npos)
        throw Error(Code::invalid_argument, "file_roots: \"" + root + "\" must be an absolute path without \"..\"");
      while (!root.empty() && root.back() == '/') root.pop_back();
      file_roots.push_back(std::move(root));
    }
  }
};

// What the next pin() of the same reference asks with: "<sha256> <etag>".
std::string validators(const std::string& sha256, const std::string& etag) {
  return etag.empty() ? std::string() : sha256 + " " + etag;
}

std::string known_etag(const std::optional<Pin>& last, int strip) {
  if (!last || last->validators.size() < 66) return {};
  const auto sha256 = last->validators.substr(0, 64);
  return last->digest == pin_digest(sha256, strip) ? last->validators.substr(65) : std::string();
}

PinResult pinned(const Reference& ref, const std::string& sha256) {
  PinResult result;
  result.pin.digest = pin_digest(sha256, ref.strip);
  result.pin.identity = pin_identity(ref, sha256);
  SourceLayer& layer = result.layers.emplace_back();
  layer.id = result.pin.digest;
  layer.media_type = "application/x-tar";
  return result;
}

class ArchiveSource final : public Source {
 public:
  static constexpr char settings_schema[] = R"({
    "type": "object", "additionalProperties": false,
    "description": "directories from tar, zip and 7z archives: archive:https://host/x.tar.gz#sha256=<hex>&strip=1",
    "properties": {
      "max_download_bytes": {"type": "integer", "minimum": 1, "default": 4294967296,
        "description": "an archive that is larger is refused"},
      "max_unpacked_bytes": {"type": "integer", "minimum": 1, "default": 17179869184,
        "description": "an archive whose files are larger than this in all is refused"},
      "max_entries": {"type": "integer", "minimum": 1, "default": 1000000,
        "description": "an archive with more files, directories and links is refused"},
      "connect_timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 3600, "default": 20,
        "description": "how long a server may take to accept a connection"},
      "stall_timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 60,
        "description": "a download that gets no byte for so long is given up"},
      "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 3600,
        "description": "how long a download may take in all"},
      "file_roots": {"type": "array", "default": [], "items": {"type": "string", "minLength": 1},
        "description": "directories of the runner's machine whose archives every pipeline may read by archive:file:///..."}}})";

  ArchiveSource(Host& host, std::string_view settings) : settings_(settings), spool_dir_(host.state_dir()) {}
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"archive"}; }

  PinResult pin(const SourceRef& source, const std::optional<Pin>& last, SourceSink& sink, CallContext& ctx) override {
    const auto ref = checked(source, ctx);
    if (!ref.sha256.empty()) return pinned(ref, ref.sha256);
    const auto etag = known_etag(last, ref.strip);
    Spool spool(spool_dir_, settings_.max_download_bytes, ref.name());
    const auto answer = get(ref, etag, spool, ctx);
    if (answer.unchanged && !etag.empty()) {
      auto result = pinned(ref, sha256_in(last->digest));
      result.pin.validators = last->validators;
      return result;
    }
    if (answer.unchanged)
      throw Error(Code::unavailable, ref.name() + ": the server answers 304 though it was not asked");
    auto content = spool.finish();
    auto result = pinned(ref, content.sha256);
    result.pin.validators = validators(content.sha256, answer.etag);
    // Same bytes as the last time: the host has their tree, or asks fetch() for it.
    const bool known = last && last->digest == result.pin.digest;
    if (!known && !sink.have(result.layers[0])) deliver(ref, content, result.layers[0], sink, ctx);
    return result;
  }

  void fetch(const SourceRef& source, const Pin& pin, const SourceLayer& layer, SourceSink& sink,
             CallContext& ctx) override {
    const auto ref = checked(source, ctx);
    const auto wanted = sha256_in(pin.digest);
    if (pin.digest != pin_digest(wanted, ref.strip) || layer.id != pin.digest ||
        (!ref.sha256.empty() && ref.sha256 != wanted))
      throw Error(Code::invalid_argument, ref.name() + " is not what " + pin.identity + " was made of; pin it again");
    if (sink.have(layer)) return;
    Spool spool(spool_dir_, settings_.max_download_bytes, ref.name());
    if (get(ref, {}, spool, ctx).unchanged)
      throw Error(Code::unavailable, ref.name() + ": the server answers 304 though it was not asked");
    auto content = spool.finish();
    if (content.sha256 != wanted) throw_differs(ref, wanted, content.sha256);
    deliver(ref, content, layer, sink, ctx);
  }

 private:
  static Reference checked(const SourceRef& source, const CallContext& ctx) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "archive: cancelled");
    return parse(source);
  }

  [[noreturn]] static void throw_differs(const Reference& ref, const std::string& wanted, const std::string& found) {
    if (ref.sha256.empty())
      throw Error(Code::not_found, ref.name() + " has changed since it was pinned (sha256 " + wanted + ", now " +
                                       found + "); pin it again, or write the checksum into the reference");
    throw Error(Code::corrupt_data, ref.name() + " has the sha256 " + found + ", expected " + wanted +
                                        "; if the change is meant, correct the reference");
  }

  Answer get(const Reference& ref, const std::string& etag, Spool& spool, CallContext& ctx) const {
    if (!ref.is_file()) return download(ref, etag, settings_.timeouts, spool, ctx);
    copy_local_file(ref, settings_.file_roots, spool, ctx);
    return {};
  }

  void deliver(const Reference& ref, const Spooled& content, const SourceLayer& layer, SourceSink& sink,
               CallContext& ctx) const {
    Repack tar(content.file.get(), ref.name(), ref.strip, settings_.unpacked, utf8_, ctx);
    sink.tar(layer, tar);
  }

  const Settings settings_;
  const std::string spool_dir_;
  const CurlLibrary curl_;
  const Utf8Locale utf8_;
};

}  // namespace
}  // namespace source_archive

DAGGER_PLUGIN(dagger::plugin::Source, source_archive::ArchiveSource, "archive", "1.0.0", "Example Ltd");
