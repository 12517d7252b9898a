// The source plugin's class against a registry in this process. Nothing here waits for time to pass, except for what is
// cancelled.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/cancel.h"
#include "plugins/common/base/sha256.h"
#include "plugins/source-oci/source.h"
#include "tests/support/fake_host.h"
#include "tests/unit/plugins/oci_test_registry.h"

namespace dagger::source_oci {
namespace {

using nlohmann::json;
using plugin_base::sha256_digest;
using testing::FakeContext;
using testing::HttpReply;
using testing::HttpRequestSeen;
using testing::TestRegistry;
using testing::TestServer;

std::string noise(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 12345;
  for (char& c : out) x = x * 1664525 + 1013904223, c = static_cast<char>(x >> 24);
  return out;
}

// Keeps what is delivered.
class MemorySink final : public plugin::SourceSink {
 public:
  bool have(const plugin::SourceLayer& layer) override { return layers.count(layer.id) > 0; }
  void tar(const plugin::SourceLayer& layer, plugin::ByteStream& stream) override {
    std::string bytes, buffer(7000, '\0');
    while (const std::size_t n = stream.read(buffer.data(), buffer.size())) bytes.append(buffer.data(), n);
    if (sha256_digest(bytes) != layer.id) throw Error(Code::corrupt_data, "digest mismatch");
    layers[layer.id] = std::move(bytes);
  }
  std::unique_ptr<Directory> directory(const plugin::SourceLayer&) override { throw Error(Code::unsupported, "no"); }
  std::map<std::string, std::string> layers;
};

class OciSourceTest : public ::testing::Test {
 protected:
  OciSource make(const std::string& settings = "") {
    oci::RetryPolicy retries;
    retries.first_pause = std::chrono::milliseconds(1);
    return OciSource(parse_settings(settings), {}, retries);
  }
  json descriptor(std::string_view type, const std::string& bytes) {
    return {{"mediaType", std::string(type)}, {"digest", registry.add_blob(bytes)}, {"size", bytes.size()}};
  }
  // An image of one layer as repository:tag; returns the manifest's digest.
  std::string add_image(const std::string& repository, const std::string& tag, const std::string& platform = "amd64") {
    const json config{
        {"os", "linux"}, {"architecture", platform}, {"rootfs", {{"diff_ids", json::array({sha256_digest("tar")})}}}};
    json manifest{{"schemaVersion", 2}, {"mediaType", oci::media_type::oci_manifest}};
    manifest["config"] = descriptor(oci::media_type::oci_config, config.dump());
    manifest["layers"] = json::array({descriptor(oci::media_type::oci_layer_gzip, layer)});
    return registry.add_manifest(repository, tag, manifest.dump());
  }
  std::string add_index(const std::string& repository, const std::string& tag) {
    json index{{"schemaVersion", 2}, {"mediaType", oci::media_type::oci_index}, {"manifests", json::array()}};
    for (const char* arch : {"amd64", "arm64"}) {
      const std::string digest = add_image(repository, "", arch);
      const auto size = registry.manifests[repository + "/" + digest].size();
      index["manifests"].push_back({{"mediaType", oci::media_type::oci_manifest},
                                    {"digest", digest},
                                    {"size", size},
                                    {"platform", {{"os", "linux"}, {"architecture", arch}}}});
    }
    return registry.add_manifest(repository, tag, index.dump());
  }
  plugin::SourceRef ref(const std::string& name) { return {"oci", registry.address() + "/" + name, {}, "linux/amd64"}; }
  void fetch_all(OciSource& source, const plugin::PinResult& result) {
    for (const auto& l : result.layers) source.fetch({}, result.pin, l, sink, ctx);
  }
  template <class F>
  static std::string failure(F f) {
    try {
      f();
      return "no error";
    } catch (const Error& e) {
      return std::string(code_name(e.code())) + ": " + e.what();
    }
  }
  static bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }

  std::string layer = noise(300'000);
  TestRegistry registry;
  MemorySink sink;
  FakeContext ctx;
};

TEST_F(OciSourceTest, PinsAPlatformOfAnIndexAndFetchesItInAnotherProcess) {
  const std::string top = add_index("a/b", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a/b:1"), std::nullopt, sink, ctx);
  EXPECT_EQ(result.pin.identity, registry.address() + "/a/b:1@" + top);
  EXPECT_NE(result.pin.digest, top);
  EXPECT_EQ(result.shape, plugin::SourceShape::image);
  EXPECT_EQ(json::parse(result.metadata_json)["architecture"], "amd64");
  ASSERT_EQ(result.layers.size(), 1U);
  EXPECT_EQ(result.layers[0].id, sha256_digest(layer));
  EXPECT_EQ(result.layers[0].diff_id, sha256_digest("tar"));
  EXPECT_EQ(result.layers[0].size, 300'000);
  OciSource later = make();
  fetch_all(later, result);
  EXPECT_EQ(sink.layers.at(sha256_digest(layer)), layer);
  EXPECT_EQ(registry.server.connections(), 2U);  // one for each process
}

TEST_F(OciSourceTest, ALayerThatTheHostHasIsNotAskedFor) {
  add_image("a", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  fetch_all(source, result);
  fetch_all(source, result);
  EXPECT_EQ(registry.server.count("GET", "/blobs/" + result.layers[0].id), 1U);
}

TEST_F(OciSourceTest, APinThatIsStillRightCostsOneHeadRequest) {
  add_index("a", "1");
  OciSource source = make();
  const auto first = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  const auto before = registry.server.requests().size();
  const auto again = source.pin(ref("a:1"), first.pin, sink, ctx);
  EXPECT_EQ(registry.server.requests().size(), before + 1);
  EXPECT_EQ(registry.server.requests().back().method, "HEAD");
  EXPECT_EQ(again.pin.digest, first.pin.digest);
  EXPECT_EQ(again.pin.identity, first.pin.identity);
  EXPECT_EQ(again.metadata_json, first.metadata_json);
  // Another process knows no documents, but need not ask for the index.
  OciSource later = make();
  EXPECT_EQ(later.pin(ref("a:1"), first.pin, sink, ctx).pin.digest, first.pin.digest);
  EXPECT_EQ(registry.server.requests().size(), before + 4);
}

TEST_F(OciSourceTest, ATagThatMovedIsPinnedAnew) {
  add_image("a", "1");
  OciSource source = make();
  const auto first = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  layer = noise(1000);
  const std::string moved = add_image("a", "1");
  EXPECT_EQ(source.pin(ref("a:1"), first.pin, sink, ctx).pin.digest, moved);
}

TEST_F(OciSourceTest, ARegistryWithoutHeadIsAskedByGet) {
  const std::string digest = add_image("a", "1");
  registry.script = [](const HttpRequestSeen& r) {
    return r.method == "HEAD" ? std::optional(HttpReply{405, {}, ""}) : std::nullopt;
  };
  OciSource source = make();
  const auto first = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  EXPECT_EQ(source.pin(ref("a:1"), first.pin, sink, ctx).pin.digest, digest);
}

TEST_F(OciSourceTest, ErrorsSayWhatIsWrongAndWhatToDo) {
  add_index("a", "1");
  OciSource source = make();
  std::string text = failure([&] { source.pin(ref("a:2"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "not_found: image \"" + registry.address() + "/a:2\" not found")) << text;
  EXPECT_TRUE(contains(text, "check the spelling")) << text;
  plugin::SourceRef other = ref("a:1");
  other.platform = "linux/s390x";
  text = failure([&] { source.pin(other, std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "available: linux/amd64, linux/arm64")) << text;
  registry.server.stop();
  text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "unavailable: ") && contains(text, "cannot reach " + registry.address())) << text;
}

TEST_F(OciSourceTest, AManifestThatIsNotItsDigestIsCorrupt) {
  const std::string digest = add_image("a", "1");
  registry.manifests["a/" + digest] += " ";
  OciSource source = make();
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a@" + digest), std::nullopt, sink, ctx); }), "corrupt_data"));
  registry.script = [&](const HttpRequestSeen&) {  // by tag: the registry's own claim
    return HttpReply{200, {{"Docker-Content-Digest", digest}}, registry.manifests["a/1"] + " "};
  };
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), "corrupt_data"));
}

TEST_F(OciSourceTest, AnEndlessManifestIsRefused) {
  registry.script = [](const HttpRequestSeen&) {
    return HttpReply{200, {}, std::string(oci::max_manifest_bytes + 1, ' ')};
  };
  OciSource source = make();
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), "corrupt_data"));
}

TEST_F(OciSourceTest, IndexesWithinIndexesWithoutEndAreRefused) {
  registry.manifest_type = oci::media_type::oci_index;
  std::string inner = R"({"manifests":[]})";
  for (int i = 0; i < 10; ++i) {
    const std::string digest = registry.add_manifest("a", "1", inner);
    inner =
        json{{"manifests", {{{"mediaType", oci::media_type::oci_index}, {"digest", digest}, {"size", inner.size()}}}}}
            .dump();
  }
  registry.add_manifest("a", "1", inner);
  OciSource source = make();
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), "nested in more than"));
}

TEST_F(OciSourceTest, ADownloadGoesOnWhereItWasCut) {
  add_image("a", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  const std::size_t cut = layer.size() * 6 / 10;
  registry.script = [&, times = 0](const HttpRequestSeen& r) mutable -> std::optional<HttpReply> {
    if (!contains(r.path, result.layers[0].id) || ++times > 1) return std::nullopt;
    return HttpReply{200, {}, layer, cut};
  };
  fetch_all(source, result);
  EXPECT_EQ(sink.layers.at(result.layers[0].id), layer);
  ASSERT_EQ(registry.server.count("GET", result.layers[0].id), 2U);
  EXPECT_EQ(registry.server.requests().back().header("range"), "bytes=" + std::to_string(cut) + "-");
}

TEST_F(OciSourceTest, AServerWithoutRangesIsReadFromTheStartAgain) {
  add_image("a", "1");
  registry.ranges = false;
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.script = [&, times = 0](const HttpRequestSeen& r) mutable -> std::optional<HttpReply> {
    if (!contains(r.path, result.layers[0].id) || ++times > 1) return std::nullopt;
    return HttpReply{200, {}, layer, 100'000};
  };
  fetch_all(source, result);
  EXPECT_EQ(sink.layers.at(result.layers[0].id), layer);
}

TEST_F(OciSourceTest, AServerThatRefusesPartsIsAskedForEverything) {
  add_image("a", "1");
  const auto wrong_part = [&](const HttpRequestSeen&) {
    return HttpReply{206, {{"Content-Range", "bytes 5-9/10"}}, "x"};
  };
  const auto refusal = [&](const HttpRequestSeen&) { return HttpReply{416, {}, ""}; };
  for (const std::function<HttpReply(const HttpRequestSeen&)>& answer :
       {std::function(refusal), std::function(wrong_part)}) {
    OciSource source = make();
    const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
    registry.script = [&, times = 0](const HttpRequestSeen& r) mutable -> std::optional<HttpReply> {
      if (!contains(r.path, result.layers[0].id)) return std::nullopt;
      if (!r.header("range").empty()) return answer(r);
      return ++times > 1 ? HttpReply{200, {}, layer} : HttpReply{200, {}, layer, 100'000};
    };
    sink.layers.clear();
    fetch_all(source, result);
    EXPECT_EQ(sink.layers.at(result.layers[0].id), layer);
    registry.script = nullptr;  // it refers to this turn's result
  }
}

TEST_F(OciSourceTest, AnnouncedDigestMattersOnlyForATag) {
  const std::string digest = add_image("a", "1"), wrong = sha256_digest("else");
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    if (!contains(r.path, "/manifests/")) return std::nullopt;
    return HttpReply{200, {{"Docker-Content-Digest", wrong}}, registry.manifests.at("a/" + digest)};  // and no type
  };
  OciSource source = make();
  EXPECT_EQ(source.pin(ref("a@" + digest), std::nullopt, sink, ctx).pin.digest, digest);
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), wrong));
}

TEST_F(OciSourceTest, ALimitOfTheRegistryIsShownWithItsReason) {
  registry.script = [](const HttpRequestSeen&) -> std::optional<HttpReply> {
    return HttpReply{429, {}, R"({"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]})"};
  };
  OciSource source = make();
  const std::string text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "unavailable: ") && contains(text, "status 429, TOOMANYREQUESTS: pull rate limit"))
      << text;
}

TEST_F(OciSourceTest, AScopeThatTheRegistryWantsForAllIsAskedForToo) {
  add_image("a", "1");
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    if (r.path.rfind("/token", 0) == 0 || r.header("authorization") == "Bearer good-token") return std::nullopt;
    return HttpReply{
        401,
        {{"WWW-Authenticate", "Bearer realm=\"http://" + registry.address() + "/token?x=1\",scope=\"aws\""}},
        "{}"};
  };
  OciSource source = make();
  source.pin(ref("a:1"), std::nullopt, sink, ctx);
  EXPECT_EQ(registry.server.count("GET", "/token?x=1&scope=repository%3Aa%3Apull&scope=aws"), 1U);
}

TEST_F(OciSourceTest, AConnectionThatIsAlwaysCutAtOnceIsGivenUp) {
  add_image("a", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    HttpReply reply = registry.blob_reply(r, layer);
    reply.send = 10;
    return reply;
  };
  const std::string text = failure([&] { fetch_all(source, result); });
  EXPECT_TRUE(contains(text, "unavailable: ") && contains(text, registry.address())) << text;
  EXPECT_EQ(registry.server.count("GET", result.layers[0].id), 4U);
}

TEST_F(OciSourceTest, ALayerOfAnotherSizeIsCorrupt) {
  add_image("a", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.blobs[result.layers[0].id].resize(1000);
  const std::string text = failure([&] { fetch_all(source, result); });
  EXPECT_TRUE(contains(text, "corrupt_data: ") && contains(text, "1000 bytes") && contains(text, "300000")) << text;
}

TEST_F(OciSourceTest, ServerErrorsAreTriedAgain) {
  add_image("a", "1");
  registry.script = [&, times = 0](const HttpRequestSeen&) mutable -> std::optional<HttpReply> {
    if (++times > 2) return std::nullopt;
    return times == 1 ? HttpReply{503, {}, ""} : HttpReply{429, {{"Retry-After", "0"}}, ""};
  };
  OciSource source = make();
  source.pin(ref("a:1"), std::nullopt, sink, ctx);
}

TEST_F(OciSourceTest, BasicAuthorizationTakesTheClientsCredentials) {
  add_image("a", "1");
  registry.auth = TestRegistry::Auth::basic, registry.user = "u", registry.password = "p:w";
  OciSource source = make();
  std::string text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "permission_denied: ") && contains(text, "docker login " + registry.address())) << text;
  ctx.known_credentials[registry.address()] = {"u", "wrong", false};
  text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "permission_denied: ") && contains(text, "user \"u\"") && !contains(text, "wrong\""))
      << text;
  ctx.known_credentials[registry.address()] = {"u", "p:w", false};
  fetch_all(source, source.pin(ref("a:1"), std::nullopt, sink, ctx));
  EXPECT_EQ(sink.layers.size(), 1U);
}

TEST_F(OciSourceTest, ATokenIsAskedForOnceAndUsedForAll) {
  add_image("a", "1");
  registry.auth = TestRegistry::Auth::bearer;
  OciSource source = make();
  fetch_all(source, source.pin(ref("a:1"), std::nullopt, sink, ctx));
  EXPECT_EQ(registry.server.count("GET", "/token?"), 1U);
  EXPECT_EQ(registry.server.count("GET", "/token?service=s&scope=repository%3Aa%3Apull"), 1U);
}

TEST_F(OciSourceTest, ATokenOfOneClientNeverServesAnother) {
  add_image("a", "1");
  registry.auth = TestRegistry::Auth::bearer, registry.user = "u", registry.password = "p";
  OciSource source = make();
  ctx.known_credentials[registry.address()] = {"u", "p", false};
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  FakeContext stranger;
  std::string text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, stranger); });
  EXPECT_TRUE(contains(text, "permission_denied")) << text;
  text = failure([&] { source.pin(ref("a:1"), result.pin, sink, stranger); });
  EXPECT_TRUE(contains(text, "permission_denied")) << text;
  text = failure([&] { source.fetch({}, result.pin, result.layers[0], sink, stranger); });
  EXPECT_TRUE(contains(text, "permission_denied")) << text;
  stranger.known_credentials[registry.address()] = {"u", "no", false};
  text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, stranger); });
  EXPECT_TRUE(contains(text, "refuses the credentials of user \"u\"")) << text;
}

TEST_F(OciSourceTest, ARedirectToAnotherHostGetsNoAuthorization) {
  add_image("a", "1");
  registry.auth = TestRegistry::Auth::basic, registry.user = "u", registry.password = "p";
  ctx.known_credentials[registry.address()] = {"u", "p", false};
  TestServer storage([&](const HttpRequestSeen& r) { return registry.blob_reply(r, layer); });
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    if (!contains(r.path, result.layers[0].id)) return std::nullopt;
    return HttpReply{307, {{"Location", "http://" + storage.address("localhost") + "/signed"}}, ""};
  };
  fetch_all(source, result);
  ASSERT_EQ(storage.requests().size(), 1U);
  EXPECT_EQ(storage.requests()[0].header("authorization"), "");
  EXPECT_NE(registry.server.requests().back().header("authorization"), "");
}

TEST_F(OciSourceTest, AStaleAddressOfStorageIsAskedForAgain) {
  add_image("a", "1");
  TestServer storage([&](const HttpRequestSeen& r) {
    return r.path == "/1" ? HttpReply{403, {}, "expired"} : registry.blob_reply(r, layer);
  });
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.script = [&, times = 0](const HttpRequestSeen&) mutable -> std::optional<HttpReply> {
    return HttpReply{307, {{"Location", "http://" + storage.address("localhost") + "/" + std::to_string(++times)}}, ""};
  };
  fetch_all(source, result);
  EXPECT_EQ(sink.layers.size(), 1U);
}

TEST_F(OciSourceTest, AnIdentityTokenIsTradedForAToken) {
  add_image("a", "1");
  registry.auth = TestRegistry::Auth::bearer;
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    if (r.path.rfind("/token", 0) != 0) return std::nullopt;
    const bool fits =
        r.method == "POST" && contains(r.body, "grant_type=refresh_token") && contains(r.body, "refresh_token=a%2Fb");
    return fits ? HttpReply{200, {}, R"({"access_token":"good-token"})"} : HttpReply{401, {}, ""};
  };
  ctx.known_credentials[registry.address()] = {"", "a/b", true};
  OciSource source = make();
  fetch_all(source, source.pin(ref("a:1"), std::nullopt, sink, ctx));
  EXPECT_EQ(sink.layers.size(), 1U);
}

TEST_F(OciSourceTest, ARepositoryThatAnonymousTokensDoNotOpenIsNotFoundOrPrivate) {
  registry.script = [&](const HttpRequestSeen& r) -> std::optional<HttpReply> {
    if (r.path.rfind("/token", 0) == 0) return HttpReply{200, {}, R"({"token":"empty"})"};
    return HttpReply{401,
                     {{"WWW-Authenticate", "Bearer realm=\"http://" + registry.address() +
                                               "/token\",service=\"s\",error=\"insufficient_scope\""}},
                     R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})"};
  };
  OciSource source = make();
  const std::string text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "not_found: image") && contains(text, "does not exist or is private") &&
              contains(text, "docker login"))
      << text;
}

TEST_F(OciSourceTest, RedirectsWithoutEndAndToOtherSchemesAreRefused) {
  registry.script = [](const HttpRequestSeen& r) { return HttpReply{302, {{"Location", r.path}}, ""}; };
  OciSource source = make();
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), "redirects without end"));
  registry.script = [](const HttpRequestSeen&) { return HttpReply{302, {{"Location", "file:///etc/passwd"}}, ""}; };
  EXPECT_TRUE(contains(failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); }), "not allowed"));
}

TEST_F(OciSourceTest, MirrorsAreAskedInOrderThenTheRegistry) {
  add_image("a", "1");
  TestServer broken([](const HttpRequestSeen&) { return HttpReply{500, {}, ""}; });
  TestServer empty([](const HttpRequestSeen&) { return HttpReply{404, {}, ""}; });
  const json settings{
      {"registries",
       {{registry.address(), {{"mirrors", {broken.address(), "http://" + empty.address() + "/proxy"}}}}}}};
  OciSource source = make(settings.dump());
  fetch_all(source, source.pin(ref("a:1"), std::nullopt, sink, ctx));
  EXPECT_EQ(sink.layers.size(), 1U);
  EXPECT_EQ(broken.requests().size(), 1U);  // then left out for a while
  EXPECT_EQ(empty.count("GET", "/v2/proxy/a/manifests/1"), 1U);
}

TEST_F(OciSourceTest, AMirrorThatHasItSparesTheRegistry) {
  add_image("a", "1");
  const json settings{{"registries", {{"docker.io", {{"mirrors", json::array({registry.address()})}}}}}};
  registry.manifests["library/a/1"] = registry.manifests["a/1"];
  OciSource source = make(settings.dump());
  const auto result = source.pin({"oci", "a:1", {}, "linux/amd64"}, std::nullopt, sink, ctx);
  EXPECT_EQ(result.pin.identity.substr(0, 21), "docker.io/library/a:1");
  fetch_all(source, result);
}

TEST_F(OciSourceTest, AMirrorThatFailsInTheMiddleIsFollowedByTheRegistry) {
  add_image("a", "1");
  OciSource direct = make();
  const auto result = direct.pin(ref("a:1"), std::nullopt, sink, ctx);
  TestServer mirror([&](const HttpRequestSeen& r) {
    HttpReply reply = registry.blob_reply(r, layer);
    reply.send = r.header("range").empty() ? 100'000 : 0;
    return reply;
  });
  const json settings{{"registries", {{registry.address(), {{"mirrors", json::array({mirror.address()})}}}}}};
  OciSource source = make(settings.dump());
  fetch_all(source, result);
  EXPECT_EQ(registry.server.requests().back().header("range"), "bytes=100000-");
}

TEST_F(OciSourceTest, AStalledDownloadEndsWhenCancelled) {
  add_image("a", "1");
  OciSource source = make();
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  registry.script = [&](const HttpRequestSeen&) { return HttpReply{200, {}, layer, 1000, true}; };
  CancelSource cancel;
  FakeContext cancelled(cancel.token());
  std::thread canceller([&] {
    registry.server.wait_for_stall();
    cancel.request("enough");
  });
  const auto start = std::chrono::steady_clock::now();
  const std::string text = failure([&] { source.fetch({}, result.pin, result.layers[0], sink, cancelled); });
  canceller.join();
  EXPECT_TRUE(contains(text, "cancelled: ")) << text;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(OciSourceTest, AStallIsUnavailableAfterItsTime) {
  registry.script = [&](const HttpRequestSeen&) { return HttpReply{200, {}, layer, 1000, true}; };
  oci::RetryPolicy once;
  once.attempts = 1;
  OciSource source({}, {std::chrono::milliseconds(1000), std::chrono::milliseconds(20)}, once);
  const std::string text = failure([&] { source.pin(ref("a:1"), std::nullopt, sink, ctx); });
  EXPECT_TRUE(contains(text, "unavailable: ") && contains(text, registry.address() + " sent nothing for")) << text;
}

TEST_F(OciSourceTest, OneDownloadAtATimeIsEnoughForAll) {
  add_image("a", "1");
  OciSource source = make(R"({"parallel_downloads":1})");
  const auto result = source.pin(ref("a:1"), std::nullopt, sink, ctx);
  std::vector<std::thread> threads;
  std::array<MemorySink, 4> sinks;
  for (auto& s : sinks) threads.emplace_back([&] { source.fetch({}, result.pin, result.layers[0], s, ctx); });
  for (auto& t : threads) t.join();
  for (auto& s : sinks) EXPECT_EQ(s.layers.size(), 1U);
}

TEST_F(OciSourceTest, EveryDescriptorItOpensIsCloseOnExec) {
  add_image("a", "1");
  OciSource source = make();
  source.pin(ref("a:1"), std::nullopt, sink, ctx);
  for (int fd = 3; fd < 256; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    int domain = 0;
    socklen_t size = sizeof domain;
    if (flags >= 0 && ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0)
      EXPECT_TRUE(flags & FD_CLOEXEC) << fd;
  }
}

TEST(OciSourceSettings, AreReadOrRefusedWithTheirPlace) {
  const Settings s = parse_settings(R"({"registries":{"index.docker.io":{"mirrors":["m.example/x"],"ca":"/ca.pem"},
      "h:1":{"plain_http":true}},"parallel_downloads":3})");
  EXPECT_EQ(s.parallel_downloads, 3);
  EXPECT_EQ(s.registries.at("docker.io").mirrors, std::vector<std::string>{"m.example/x"});
  const auto hub = oci::endpoints_of(s.registries, oci::parse_reference("alpine"));
  ASSERT_EQ(hub.size(), 2U);
  EXPECT_EQ(hub[0].url("/x"), "https://m.example/v2/x/library/alpine/x");
  EXPECT_EQ(hub[1].url("/x"), "https://registry-1.docker.io/v2/library/alpine/x");
  EXPECT_EQ(hub[1].ca, "/ca.pem");
  EXPECT_EQ(oci::endpoints_of(s.registries, oci::parse_reference("h:1/x"))[0].scheme, "http");
  EXPECT_EQ(oci::endpoints_of({}, oci::parse_reference("localhost:1/x"))[0].scheme, "http");
  EXPECT_EQ(oci::endpoints_of({}, oci::parse_reference("h:1/x"))[0].scheme, "https");
  for (const char* text : {"[]", "{", R"({"x":1})", R"({"registries":[]})", R"({"registries":{"h":{"x":1}}})",
                           R"({"registries":{"a b":{}}})", R"({"registries":{"h":{"mirrors":"m"}}})",
                           R"({"registries":{"h":{"mirrors":["ftp://m"]}}})", R"({"registries":{"h":{"ca":"x"}}})",
                           R"({"registries":{"h":{"plain_http":1}}})", R"({"parallel_downloads":0})",
                           R"({"parallel_downloads":"4"})", R"({"parallel_downloads":65})"}) {
    try {
      parse_settings(text);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::invalid_argument) << text;
    }
  }
}

TEST(OciSourceSettings, SchemaIsJsonAndDescribesEverything) {
  OciSource source{Settings{}};
  const json schema = json::parse(source.config_schema());
  for (const auto& [key, property] : schema["properties"].items()) EXPECT_TRUE(property.contains("description")) << key;
}

}  // namespace
}  // namespace dagger::source_oci
