#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dagger/plugin/error.h"
#include "plugins/common/oci-registry/manifest.h"

namespace dagger::oci {
namespace {

using nlohmann::json;

const std::string digest_a = "sha256:" + std::string(64, 'a');
const std::string digest_b = "sha256:" + std::string(64, 'b');

json descriptor(std::string_view type, const std::string& digest = digest_a, std::int64_t size = 10) {
  return {{"mediaType", std::string(type)}, {"digest", digest}, {"size", size}};
}

json manifest_with(json layer) {
  return {{"schemaVersion", 2},
          {"config", descriptor(media_type::oci_config)},
          {"layers", json::array({std::move(layer)})}};
}

json entry(const std::string& os, const std::string& arch, const std::string& variant = "", char letter = 'a') {
  json e = descriptor(media_type::oci_manifest, "sha256:" + std::string(64, letter));
  e["platform"] = {{"os", os}, {"architecture", arch}};
  if (!variant.empty()) e["platform"]["variant"] = variant;
  return e;
}

std::string chosen(const json& entries, const std::string& platform) {
  const Index index = parse_index(json{{"manifests", entries}}.dump(), "x");
  return choose(index, parse_platform(platform), "x").digest.substr(7, 1);
}

template <class F>
std::string failure(F f) {
  try {
    f();
    return "no error";
  } catch (const Error& e) {
    return std::string(code_name(e.code())) + ": " + e.what();
  }
}
template <class F>
std::string code(F f) {
  const std::string text = failure(f);
  return text.substr(0, text.find(':'));
}

TEST(Manifest, BothFamiliesGiveTheSameLayers) {
  const std::pair<const char*, std::string_view> types[] = {
      {"application/vnd.oci.image.layer.v1.tar", media_type::oci_layer},
      {"application/vnd.oci.image.layer.v1.tar+gzip", media_type::oci_layer_gzip},
      {"application/vnd.oci.image.layer.v1.tar+zstd", media_type::oci_layer_zstd},
      {"application/vnd.docker.image.rootfs.diff.tar", media_type::oci_layer},
      {"application/vnd.docker.image.rootfs.diff.tar.gzip", media_type::oci_layer_gzip},
      {"application/vnd.docker.image.rootfs.diff.tar.zstd", media_type::oci_layer_zstd},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", media_type::oci_layer_gzip},
  };
  for (const auto& [type, want] : types) {
    const Manifest m = parse_manifest(manifest_with(descriptor(type, digest_b, 77)).dump(), "x");
    ASSERT_EQ(m.layers.size(), 1U);
    EXPECT_EQ(m.layers[0].media_type, want);
    EXPECT_EQ(m.layers[0].digest, digest_b);
    EXPECT_EQ(m.layers[0].size, 77);
  }
}

TEST(Manifest, ForeignLayersAndArtifactsAreUnsupported) {
  json foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
  foreign["urls"] = {"https://example.com/layer"};
  EXPECT_EQ(code([&] { parse_manifest(manifest_with(foreign).dump(), "x"); }), "unsupported");
  json chart = manifest_with(descriptor(media_type::oci_layer));
  chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
  EXPECT_NE(failure([&] { parse_manifest(chart.dump(), "x"); }).find("helm"), std::string::npos);
  EXPECT_EQ(code([&] { parse_manifest(manifest_with(descriptor("text/html")).dump(), "x"); }), "unsupported");
  const json sha512 = descriptor(media_type::oci_layer, "sha512:" + std::string(128, 'a'));
  EXPECT_EQ(code([&] { parse_manifest(manifest_with(sha512).dump(), "x"); }), "unsupported");
}

TEST(Manifest, LayersMayNameFurtherPlaces) {
  json layer = descriptor(media_type::oci_layer);
  layer["urls"] = {"https://example.com/layer"};
  EXPECT_EQ(parse_manifest(manifest_with(layer).dump(), "x").layers.size(), 1U);
}

TEST(Manifest, NullIsAnEmptyList) {
  json none = manifest_with(descriptor(media_type::oci_layer));
  none["layers"] = nullptr;
  EXPECT_TRUE(parse_manifest(none.dump(), "x").layers.empty());
  EXPECT_TRUE(parse_index(R"({"schemaVersion":2,"manifests":null})", "x").entries.empty());
}

TEST(Manifest, IsToldFromAnIndexByItsOwnWords) {
  const json index{{"manifests", json::array()}}, manifest = manifest_with(descriptor(media_type::oci_layer));
  EXPECT_TRUE(is_index(index.dump(), "text/plain", "x"));
  EXPECT_FALSE(is_index(manifest.dump(), std::string(media_type::oci_index), "x"));
  json typed = index;
  typed["mediaType"] = media_type::docker_index;
  EXPECT_TRUE(is_index(typed.dump(), "", "x"));
  EXPECT_EQ(code([&] { is_index("{}", "application/json", "x"); }), "unsupported");
  const json schema1{{"schemaVersion", 1}, {"fsLayers", json::array()}};
  EXPECT_NE(failure([&] { is_index(schema1.dump(), "", "x"); }).find("schema 1"), std::string::npos);
  // Both at once: only the media type decides.
  json both = manifest;
  both["manifests"] = json::array();
  EXPECT_EQ(code([&] { is_index(both.dump(), "", "x"); }), "unsupported");
}

TEST(Manifest, HostileDocumentsAreCorruptData) {
  const json good = manifest_with(descriptor(media_type::oci_layer));
  std::vector<std::string> bad = {"", "x", "[]", "null", "\"s\"", "{", std::string("{\"a\":\"\xff\"}"), "{}"};
  const auto changed = [&](const char* pointer, json value) {
    json copy = good;
    copy[json::json_pointer(pointer)] = std::move(value);
    bad.push_back(copy.dump());
  };
  changed("/layers", 5);
  changed("/layers", json::object());
  changed("/layers/0", "x");
  changed("/layers/0/digest", 7);
  changed("/layers/0/digest", "sha256:../../etc/passwd");
  changed("/layers/0/digest", "sha256:" + std::string(63, 'a'));
  changed("/layers/0/digest", "sha256:" + std::string(64, 'A'));
  changed("/layers/0/size", -1);
  changed("/layers/0/size", 1.5);
  changed("/layers/0/size", "10");
  changed("/layers/0/size", std::uint64_t{1} << 63);
  changed("/config", nullptr);
  changed("/config/size", std::int64_t{1} << 40);
  bad.push_back(std::string(100'000, '['));
  bad.push_back(std::string("{\"layers\":") + std::string(40, '[') + std::string(40, ']') + "}");
  bad.push_back("{\"a\":\"" + std::string(max_manifest_bytes, 'x') + "\"}");
  json many = good;
  many["layers"] = json(max_layers + 1, good["layers"][0]);
  bad.push_back(many.dump());
  for (const auto& text : bad) {
    EXPECT_EQ(code([&] { parse_manifest(text, "x"); }), "corrupt_data") << text.substr(0, 200);
    EXPECT_NE(code([&] { parse_index(text, "x"); }), "no error") << text.substr(0, 200);
  }
}

TEST(Config, MustNameAsManyLayersAsTheManifest) {
  const json config{
      {"os", "linux"}, {"architecture", "arm"}, {"rootfs", {{"type", "layers"}, {"diff_ids", {digest_a, digest_b}}}}};
  const ImageConfig c = parse_config(config.dump(), 2, "x");
  EXPECT_EQ(c.platform.str(), "linux/arm/v7");
  EXPECT_EQ(c.diff_ids, (std::vector<std::string>{digest_a, digest_b}));
  EXPECT_EQ(failure([&] { parse_config(config.dump(), 1, "x"); }),
            "corrupt_data: x is malformed: it names 2 layers, the manifest 1");
  for (const char* text :
       {"{}", "[]", R"({"rootfs":{"diff_ids":[1,2]}})", R"({"rootfs":{"diff_ids":["a","b"]}})", R"({"rootfs":[]})"})
    EXPECT_EQ(code([&] { parse_config(text, 2, "x"); }), "corrupt_data") << text;
}

TEST(Config, MayBeEmptyForAnImageWithoutLayers) {
  EXPECT_TRUE(parse_config(R"({"rootfs":{"type":"layers","diff_ids":null}})", 0, "x").diff_ids.empty());
}

TEST(Platform, ChoosesTheClosestThatRuns) {
  const json entries = {entry("linux", "amd64", "", 'a'), entry("linux", "arm64", "v8", 'b'),
                        entry("linux", "arm", "v6", 'c'), entry("linux", "arm", "v7", 'd'),
                        entry("linux", "386", "", 'e'),   entry("windows", "amd64", "", 'f')};
  const std::pair<const char*, const char*> cases[] = {
      {"linux/amd64", "a"},   {"linux/x86_64", "a"},   {"linux/amd64/v3", "a"}, {"linux/arm64", "b"},
      {"linux/aarch64", "b"}, {"linux/arm64/v8", "b"}, {"linux/arm", "d"},      {"linux/arm/v6", "c"},
      {"linux/armhf", "d"},   {"linux/386", "e"},      {"windows/amd64", "f"},  {"Linux/AMD64", "a"}};
  for (const auto& [platform, want] : cases) EXPECT_EQ(chosen(entries, platform), want) << platform;
  EXPECT_EQ(
      chosen({entry("linux", "amd64", "v3", 'a'), entry("linux", "amd64", "v2", 'b'), entry("linux", "amd64", "", 'c')},
             "linux/amd64/v2"),
      "b");
  EXPECT_EQ(chosen(json::array({entry("linux", "386", "", 'a')}), "linux/amd64"), "a");
}

TEST(Platform, MissingOneListsWhatThereIs) {
  const json entries = {entry("linux", "amd64"), entry("linux", "arm", "v7"), entry("linux", "amd64"),
                        entry("unknown", "unknown")};
  EXPECT_EQ(failure([&] { chosen(entries, "linux/s390x"); }),
            "not_found: x has no image for platform linux/s390x; available: linux/amd64, linux/arm/v7");
  EXPECT_EQ(failure([&] { chosen(json::array(), "linux/s390x"); }),
            "not_found: x has no image for platform linux/s390x; it holds no image at all");
  EXPECT_EQ(code([&] { chosen(json::array({entry("linux", "amd64", "v3")}), "linux/amd64"); }), "not_found");
}

TEST(Platform, AttestationsAreNeverChosen) {
  json attestation = entry("linux", "amd64", "", 'a');
  attestation["annotations"] = {{"vnd.docker.reference.type", "attestation-manifest"}};
  EXPECT_EQ(
      chosen({attestation, entry("unknown", "unknown", "", 'b'), entry("linux", "amd64", "", 'c')}, "linux/amd64"),
      "c");
}

TEST(Platform, AnEntryWithoutOneIsTheLastChoice) {
  const json unnamed = descriptor(media_type::oci_index, "sha256:" + std::string(64, 'f'));
  EXPECT_EQ(chosen({unnamed, entry("linux", "amd64")}, "linux/amd64"), "a");
  EXPECT_EQ(chosen({unnamed, entry("linux", "amd64")}, "linux/arm64"), "f");
}

TEST(Platform, BadTextIsRefused) {
  for (const char* text :
       {"linux", "linux/", "/amd64", "linux/amd64/", "linux/amd64/v1/x", "li nux/amd64", "linux/am\nd64"})
    EXPECT_EQ(code([&] { parse_platform(text); }), "invalid_argument") << text;
  EXPECT_EQ(parse_platform("").os, "linux");
}

}  // namespace
}  // namespace dagger::oci
