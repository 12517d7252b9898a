// Digests of layers, and layers as tars.
#include <sys/sysmacros.h>

#include "core/store/layer_digest.h"
#include "core/store/tree/dir.h"
#include "core/store/tree/tar_tree.h"
#include "core/store/unpack/unpack.h"
#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

using testing::TarBuilder;
using Header = TarBuilder::Header;

class Layer : public ::testing::Test {
 protected:
  // Unpacks into a directory of its own; returns its path.
  std::string make(const std::string& tar, const char* marks = trusted_overlay) {
    const std::string path = dir.path() + "/" + std::to_string(++count);
    make_dirs(path);
    testing::StringStream stream(tar);
    unpack(stream, open_file(path, O_RDONLY | O_DIRECTORY).get(), {"", "", marks, {}}, ctx);
    return path;
  }
  LayerDigests digests(const std::string& path) {
    const std::atomic<bool> stop{false};
    return digest_layer(open_file(path, O_RDONLY | O_DIRECTORY).get(), stop).value();
  }
  LayerDigests digests_of(const TarBuilder& tar) { return digests(make(tar.end())); }
  std::string tar_of(const std::string& path) {
    const auto stream = tree::tar_layer(open_file(path, O_RDONLY | O_DIRECTORY), false, ctx);
    std::string out, buffer(1000, '\0');
    while (const auto n = stream->read(buffer.data(), buffer.size())) out.append(buffer, 0, n);
    return out;
  }
  TempDir dir{"/dev/shm"};
  int count = 0;
  testing::FakeContext ctx;
};

TEST_F(Layer, HasEqualDigestsForEqualContent) {
  const auto tar =
      TarBuilder().dir("d").file("d/f", "x").symlink("l", "t").file(".wh.w", "").file("d/.wh..wh..opq", "");
  const auto a = digests_of(tar), b = digests_of(tar), user = digests(make(tar.end(), user_overlay));
  EXPECT_EQ(a.content, b.content);
  EXPECT_EQ(a.exact, b.exact);
  EXPECT_EQ(a.content, user.content);  // whatever form the marks have
}

TEST_F(Layer, HasOtherDigestsForEveryAttributeThatDiffers) {
  const auto with = [](const Header& h) { return TarBuilder().add(h); };
  const Header file{.name = "f", .data = "data", .mode = 0644, .uid = 1, .gid = 2, .mtime = 1000};
  std::vector<std::pair<const char*, TarBuilder>> variants;
  const auto vary = [&](const char* what, auto change) {
    Header h = file;
    change(h);
    variants.emplace_back(what, with(h));
  };
  variants.emplace_back("nothing", with(file));
  vary("name", [](Header& h) { h.name = "g"; });
  vary("content", [](Header& h) { h.data = "Data"; });
  vary("mode", [](Header& h) { h.mode = 0645; });
  vary("setuid", [](Header& h) { h.mode = 04644; });
  vary("uid", [](Header& h) { h.uid = 3; });
  vary("gid", [](Header& h) { h.gid = 3; });
  vary("symlink", [](Header& h) { h.type = '2', h.link = "a", h.data = ""; });
  vary("link target", [](Header& h) { h.type = '2', h.link = "b", h.data = ""; });
  vary("directory", [](Header& h) { h.type = '5', h.data = ""; });
  vary("fifo", [](Header& h) { h.type = '6', h.data = ""; });
  vary("device", [](Header& h) { h.type = '3', h.major = 1, h.data = ""; });
  vary("device number", [](Header& h) { h.type = '3', h.major = 2, h.data = ""; });
  vary("block device", [](Header& h) { h.type = '4', h.major = 1, h.data = ""; });
  vary("whiteout", [](Header& h) { h.name = ".wh.f", h.data = ""; });
  vary("depth", [](Header& h) { h.name = "f/f"; });
  variants.emplace_back("attribute", TarBuilder().pax({{"SCHILY.xattr.user.a", "1"}}).add(file));
  variants.emplace_back("attribute's value", TarBuilder().pax({{"SCHILY.xattr.user.a", "2"}}).add(file));
  variants.emplace_back(
      "opaque",
      TarBuilder().add({.name = "f", .type = '5', .mode = 0644, .uid = 1, .gid = 2}).file("f/.wh..wh..opq", ""));
  variants.emplace_back("root's mode",
                        TarBuilder().add({.name = "./", .type = '5', .mode = 0700, .mtime = 0}).add(file));
  std::map<Digest, const char*> contents, exacts;
  for (const auto& [what, tar] : variants) {
    const auto d = digests_of(tar);
    const auto [c, new_content] = contents.try_emplace(d.content, what);
    EXPECT_TRUE(new_content) << what << " has the digest of " << c->second;
    EXPECT_TRUE(exacts.try_emplace(d.exact, what).second) << what;
  }
}

TEST_F(Layer, HasTimesInItsExactDigestOnly) {
  const auto at = [&](long mtime) { return digests_of(TarBuilder().add({.name = "f", .mtime = mtime})); };
  EXPECT_EQ(at(1).content, at(2).content);
  EXPECT_NE(at(1).exact, at(2).exact);
}

TEST_F(Layer, BecomesATarThatMakesTheSameLayer) {
  const std::string long_name = "d/" + std::string(120, 'n'), long_target(150, 't');
  const auto path =
      make(TarBuilder()
               .add({.name = "./", .type = '5', .mode = 0711, .mtime = 99})
               .add({.name = "d/", .type = '5', .mode = 01777, .uid = 3'000'000, .gid = 5, .mtime = 7})
               .pax({{"mtime", "-3.25"}, {"path", long_name}, {"SCHILY.xattr.user.k", std::string("a\n=\0", 4)}})
               .add({.name = "x", .data = std::string(300'000, 'q'), .mode = 04755})
               .pax({{"linkpath", long_name}})
               .hard_link("again", "x")
               .pax({{"linkpath", long_target}, {"mtime", "5.000000001"}})
               .symlink("l", "x")
               .add({.name = "c", .type = '3', .mode = 0666, .major = 1, .minor = 3})
               .add({.name = "p", .type = '6'})
               .file("d/.wh..wh..opq", "")
               .file(".wh.gone", "")
               .file("empty", "")
               .end());
  const auto tar = tar_of(path), again = make(tar);
  EXPECT_EQ(digests(path).exact, digests(again).exact);
  EXPECT_EQ(tar_of(again), tar);
  const auto root = open_file(again, O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(stat_at(root.get(), "again").st_nlink, 2U);
  EXPECT_EQ(mtime_ns(stat_at(root.get(), long_name)), -3'250'000'000);
  EXPECT_TRUE(is_whiteout(stat_at(root.get(), "gone")));
}

TEST_F(Layer, KeepsAnOpaqueRootInItsTar) {
  const auto path = make(TarBuilder().file("f").end());
  const auto stream = tree::tar_layer(open_file(path, O_RDONLY | O_DIRECTORY), true, ctx);
  const std::string other = dir.path() + "/other";
  make_dirs(other);
  EXPECT_TRUE(
      unpack(*stream, open_file(other, O_RDONLY | O_DIRECTORY).get(), {"", "", trusted_overlay, {}}, ctx).opaque_root);
}

}  // namespace
}  // namespace dagger::store
