// Pulls one image with the source plugin's class and prints what it got, for tests against real registries:
//   oci_pull REFERENCE [--platform P] [--user NAME PASSWORD] [--settings JSON] [--no-layers]
// One JSON object on stdout; a failure is {"code": ..., "error": ...} and exit code 1. Ctrl-C is not handled.
#include <cstdio>
#include <iostream>

#include <nlohmann/json.hpp>

#include "core/base/digest.h"
#include "plugins/source-oci/source.h"
#include "tests/support/fake_host.h"

namespace {

using namespace dagger;
using nlohmann::json;

// Hashes layers instead of unpacking them.
class HashingSink final : public plugin::SourceSink {
 public:
  bool have(const plugin::SourceLayer&) override { return false; }
  void tar(const plugin::SourceLayer& layer, plugin::ByteStream& stream) override {
    Sha256 hash;
    std::string buffer(64 << 10, '\0');
    while (const std::size_t n = stream.read(buffer.data(), buffer.size())) hash.update(buffer.data(), n);
    if (hash.finish().str() != layer.id) throw Error(Code::corrupt_data, "digest mismatch of " + layer.id);
    ++layers;
  }
  std::unique_ptr<Directory> directory(const plugin::SourceLayer&) override {
    throw Error(Code::unsupported, "no directories here");
  }
  int layers = 0;
};

// Answers every registry with one pair.
class Context final : public plugin::CallContext {
 public:
  bool cancelled() const noexcept override { return false; }
  int cancel_fd() const noexcept override { return -1; }
  void log(plugin::LogLevel, std::string_view line) noexcept override { std::cerr << line << '\n'; }
  void progress(std::string_view, std::int64_t, std::int64_t) noexcept override {}
  std::optional<plugin::Credentials> credentials(std::string_view) override { return answer; }
  UniqueFd open_socket(std::string_view) override { throw Error(Code::not_found, "no sockets here"); }
  UniqueFd open_secret(std::string_view) override { throw Error(Code::not_found, "no secrets here"); }
  std::optional<plugin::Credentials> answer;
};

json pull(int argc, char** argv) {
  plugin::SourceRef ref{"oci", argv[1], {}, ""};
  std::string settings;
  bool layers = true;
  Context ctx;
  for (int i = 2; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--platform") ref.platform = argv[++i];
    if (option == "--settings") settings = argv[++i];
    if (option == "--no-layers") layers = false;
    if (option == "--user") ctx.answer = plugin::Credentials{argv[i + 1], argv[i + 2], false}, i += 2;
  }
  testing::FakeHost host;
  HashingSink sink;
  source_oci::OciSource source(host, settings);
  const auto result = source.pin(ref, std::nullopt, sink, ctx);
  json out{{"digest", result.pin.digest}, {"identity", result.pin.identity}, {"layers", json::array()}};
  out["config"] = json::parse(result.metadata_json);
  source_oci::OciSource later(host, settings);  // as in another process
  for (const auto& layer : result.layers) {
    out["layers"].push_back(
        {{"id", layer.id}, {"diff_id", layer.diff_id}, {"media_type", layer.media_type}, {"size", layer.size}});
    if (layers) later.fetch(ref, result.pin, layer, sink, ctx);
  }
  out["fetched"] = sink.layers;
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  try {
    std::cout << pull(argc, argv).dump() << '\n';
    return 0;
  } catch (const Error& e) {
    std::cout << json{{"code", code_name(e.code())}, {"error", e.what()}}.dump() << '\n';
    return 1;
  }
}
