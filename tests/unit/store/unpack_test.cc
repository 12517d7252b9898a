#include "core/store/unpack/unpack.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zlib.h>
#include <zstd.h>

#include "core/store/tree/dir.h"
#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

using testing::TarBuilder;

std::string gzip(const std::string& data) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, data.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}
std::string zstd(const std::string& data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

class Unpack : public ::testing::Test {
 protected:
  Unpacked run(const std::string& tar, UnpackRequest request = {}, std::size_t piece = 1 << 20) {
    if (request.mark_prefix.empty()) request.mark_prefix = trusted_overlay;
    testing::StringStream stream(tar, piece);
    return unpack(stream, root.get(), request, ctx);
  }
  // The error's text; "" if there was none.
  std::string failure(const std::string& tar) {
    try {
      run(tar);
      return "";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::corrupt_data) << e.what();
      return e.what();
    }
  }
  struct stat st(const std::string& path) { return stat_at(root.get(), path); }
  bool there(const std::string& path) { return ::faccessat(root.get(), path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }
  std::string text(const std::string& path) { return testing::get_file(root.get(), path); }
  std::string attribute(const std::string& path, const std::string& name) {
    for (const auto& [key, value] : read_xattrs(root.get(), path))
      if (key == name) return value;
    return "";
  }
  bool opaque(const std::string& path) { return attribute(path, "trusted.overlay.opaque") == "y"; }

  TempDir dir{"/dev/shm"};
  std::string inside = (make_dirs(dir.path() + "/root"), dir.path() + "/root");
  UniqueFd root = open_file(inside, O_RDONLY | O_DIRECTORY);
  testing::FakeContext ctx;
};

TEST_F(Unpack, KeepsEveryAttribute) {
  run(TarBuilder()
          .add({.name = "d/", .type = '5', .mode = 01777, .uid = 5, .gid = 6, .mtime = 77})
          .pax({{"mtime", "1234567890.123456789"},
                {"SCHILY.xattr.user.k", std::string("v\0w", 3)},
                {"uid", "3000000000"}})
          .add({.name = "d/f", .data = "data", .mode = 06755, .gid = 8})
          .add({.name = "d/s", .type = '2', .link = "../../x", .uid = 9, .gid = 9, .mtime = 5})
          .add({.name = "d/h", .type = '1', .link = "d/f"})
          .add({.name = "d/p", .type = '6', .mode = 0620})
          .add({.name = "d/c", .type = '3', .mode = 0666, .major = 1, .minor = 3})
          .add({.name = "d/b", .type = '4', .mode = 0660, .major = 7, .minor = 1})
          .end());
  EXPECT_EQ(st("d").st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(st("d").st_uid, 5U);
  EXPECT_EQ(st("d").st_gid, 6U);
  EXPECT_EQ(st("d").st_mtim.tv_sec, 77);
  EXPECT_EQ(text("d/f"), "data");
  EXPECT_EQ(st("d/f").st_mode, S_IFREG | 06755U);
  EXPECT_EQ(st("d/f").st_uid, 3'000'000'000U);
  EXPECT_EQ(mtime_ns(st("d/f")), 1'234'567'890'123'456'789);
  EXPECT_EQ(attribute("d/f", "user.k"), std::string("v\0w", 3));
  EXPECT_EQ(st("d/f").st_nlink, 2U);
  EXPECT_EQ(st("d/h").st_ino, st("d/f").st_ino);
  EXPECT_EQ(read_link_at(root.get(), "d/s"), "../../x");
  EXPECT_EQ(st("d/s").st_uid, 9U);
  EXPECT_EQ(st("d/s").st_mtim.tv_sec, 5);
  EXPECT_EQ(st("d/p").st_mode, S_IFIFO | 0620U);
  EXPECT_EQ(st("d/c").st_mode, S_IFCHR | 0666U);
  EXPECT_EQ(st("d/c").st_rdev, makedev(1, 3));
  EXPECT_EQ(st("d/b").st_mode, S_IFBLK | 0660U);
}

TEST_F(Unpack, KeepsCapabilitiesOfAFileThatChangesHands) {
  const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  run(TarBuilder()
          .pax({{"SCHILY.xattr.security.capability", capability}})
          .add({.name = "ping", .mode = 0755, .uid = 7})
          .end());
  EXPECT_EQ(attribute("ping", "security.capability"), capability);
}

TEST_F(Unpack, TellsTheCompressionByItself) {
  const std::string plain = TarBuilder().file("f", std::string(100'000, 'q')).end();
  for (const auto& tar :
       {plain, gzip(plain), zstd(plain), gzip(plain.substr(0, 700)) + gzip(plain.substr(700)) + std::string(40, '\0'),
        zstd(plain.substr(0, 700)) + zstd(plain.substr(700))})
    for (const std::size_t piece : {1U, 1U << 20}) {
      const UnpackRequest request{Digest::of(tar).str(), Digest::of(plain).str(), trusted_overlay, {}};
      EXPECT_EQ(run(tar, request, piece).diff_id, Digest::of(plain).str());
      EXPECT_EQ(text("f").size(), 100'000U);
    }
}

TEST_F(Unpack, RefusesDataThatIsCutOrDamaged) {
  const std::string plain = TarBuilder().file("f", std::string(5000, 'q')).file("g", "x").end();
  std::string damaged = gzip(plain);
  damaged[damaged.size() / 2] ^= 1;
  const std::string cases[] = {plain.substr(0, 1000),
                               plain.substr(0, 5700),
                               gzip(plain).substr(0, 60),
                               gzip(plain).substr(0, gzip(plain).size() - 3),
                               zstd(plain).substr(0, zstd(plain).size() - 3),
                               gzip(plain) + "rest",
                               damaged,
                               "this is no tar at all" + std::string(600, '.')};
  for (const auto& tar : cases) EXPECT_NE(failure(tar), "");
}

TEST_F(Unpack, VerifiesBothDigests) {
  const std::string plain = TarBuilder().file("f").end(), tar = gzip(plain), other = Digest::of("other").str();
  EXPECT_THROW(run(tar, {other, "", trusted_overlay, {}}), Error);
  EXPECT_THROW(run(tar, {"", other, trusted_overlay, {}}), Error);
  EXPECT_THROW(run(tar, {Digest::of(plain).str(), "", trusted_overlay, {}}), Error);
}

TEST_F(Unpack, TurnsWhiteoutsIntoOverlayMarks) {
  EXPECT_FALSE(run(TarBuilder()
                       .dir("d")
                       .file("d/.wh.gone", "")
                       .dir("o")
                       .file("o/.wh..wh..opq", "")
                       .file(".wh.top", "")
                       .file("d/.wh..wh.plnk", "")
                       .end())
                   .opaque_root);
  EXPECT_TRUE(is_whiteout(st("d/gone")));
  EXPECT_TRUE(is_whiteout(st("top")));
  EXPECT_TRUE(opaque("o"));
  EXPECT_FALSE(there("d/.wh..wh.plnk"));
  EXPECT_TRUE(run(TarBuilder().file(".wh..wh..opq", "").end()).opaque_root);
}

// Overlay would list them: it hides whiteouts only where directories merge.
TEST_F(Unpack, LeavesNoWhiteoutInAnOpaqueDirectory) {
  run(TarBuilder().file("a/.wh.x", "").file("a/.wh..wh..opq", "").file("b/.wh..wh..opq", "").file("b/.wh.x", "").end());
  for (const std::string name : {"a", "b"}) {
    EXPECT_TRUE(opaque(name));
    EXPECT_FALSE(there(name + "/x"));
  }
}

TEST_F(Unpack, MarksWhatIsLeftToTheLayersBelow) {
  run(TarBuilder()
          .file("a/b/f")
          .dir("d")
          .file("d/.wh.x", "")
          .file("e/f")
          .dir("e")
          .file(".wh.h", "")
          .file("h/f")
          .dir("plain")
          .symlink("to-a", "a")
          .file("to-a/c/f")
          .end());
  const auto loose = [&](const std::string& path) { return attribute(path, "trusted.overlay.loose"); };
  EXPECT_EQ(loose("."), "iwIW");
  EXPECT_EQ(loose("a"), "iI");
  EXPECT_EQ(loose("a/b"), "i");
  EXPECT_EQ(loose("a/c"), "i");
  EXPECT_EQ(loose("d"), "w");
  for (const char* explicit_one : {"e", "h", "plain"}) EXPECT_EQ(loose(explicit_one), "") << explicit_one;
}

TEST_F(Unpack, MakesTheDirectoryThatALinkInAParentLeadsTo) {
  run(TarBuilder().symlink("lib", "usr/lib").file("lib/x").symlink("e", "/etc/../etc").file("e/deep/y").end());
  EXPECT_TRUE(there("usr/lib/x"));
  EXPECT_TRUE(there("etc/deep/y"));
  EXPECT_TRUE(S_ISLNK(st("lib").st_mode));
}

TEST_F(Unpack, KeepsHardLinksToTheBookkeepingOfAufsAndNothingElseOfIt) {
  run(TarBuilder()
          .file(".wh..wh.aufs", "")
          .dir(".wh..wh.plnk")
          .file(".wh..wh.plnk/7.8", "data")
          .hard_link("f", ".wh..wh.plnk/7.8")
          .end());
  EXPECT_EQ(text("f"), "data");
  EXPECT_EQ(sorted_names(root.get()), std::vector<std::string>{"f"});
}

TEST_F(Unpack, LetsAWhiteoutHideLowerLayersOnly) {
  run(TarBuilder()
          .file(".wh.a", "")
          .file("a", "new")  // whiteout first
          .file("b", "new")
          .file(".wh.b", "")  // file first
          .dir("c")
          .file("c/x")
          .file(".wh.c", "")  // directory first
          .file(".wh.d", "")
          .dir("d")
          .file("d/x")  // whiteout, then directory
          .file(".wh.e", "")
          .file("e/x")  // whiteout, then an implied directory
          .file("f/x")
          .file("f/.wh..wh..opq", "")
          .file("f/y")
          .end());
  EXPECT_EQ(text("a"), "new");
  EXPECT_EQ(text("b"), "new");
  for (const char* d : {"c", "d", "e", "f"}) {
    EXPECT_TRUE(opaque(d)) << d;
    EXPECT_TRUE(there(std::string(d) + "/x")) << d;
  }
  EXPECT_TRUE(there("f/y"));
}

TEST_F(Unpack, UsesTheMarksOfTheFormAskedFor) {
  run(TarBuilder().file("d/.wh..wh..opq", "").end(), {"", "", user_overlay, {}});
  EXPECT_EQ(attribute("d", "user.overlay.opaque"), "y");
}

TEST_F(Unpack, LetsALaterEntryReplaceAnEarlierOne) {
  run(TarBuilder()
          .file("a", "1")
          .file("a", "2")
          .dir("b")
          .file("b/x")
          .file("b", "file")
          .file("c")
          .dir("c")
          .file("c/x")
          .symlink("l", "a")
          .symlink("l", "b")
          .dir("d", 0700)
          .file("d/x")
          .dir("d", 0711)
          .end());
  EXPECT_EQ(text("a"), "2");
  EXPECT_EQ(text("b"), "file");
  EXPECT_TRUE(there("c/x"));
  EXPECT_EQ(read_link_at(root.get(), "l"), "b");
  EXPECT_TRUE(there("d/x"));
  EXPECT_EQ(st("d").st_mode & 07777, 0711U);
}

// Whatever the tar says: outside stays as it was.
TEST_F(Unpack, WritesNothingOutsideTheLayer) {
  make_dirs(dir.path() + "/outside");
  write_file_atomically(dir.path() + "/outside/secret", "secret");
  const std::string out = dir.path() + "/outside";
  const std::string tars[] = {
      TarBuilder().file("../outside/f").end(),
      TarBuilder().file("a/../../outside/f").end(),
      TarBuilder().file("/../outside/f").end(),
      TarBuilder().file(out + "/f").end(),
      TarBuilder().symlink("l", out).file("l/f").end(),
      TarBuilder().symlink("l", "../outside").file("l/f").end(),
      TarBuilder().symlink("l", "../outside").dir("l").file("l/f").end(),
      TarBuilder().symlink("l", "..").file("l/outside/f").end(),
      TarBuilder().symlink("l", "/").file("l" + out + "/f").end(),
      TarBuilder().symlink("l", "/proc/self/cwd").file("l/f").end(),
      TarBuilder().symlink("l", out + "/secret").file("l", "changed").end(),
      TarBuilder().symlink("l", out).file("l/.wh.secret", "").end(),
      TarBuilder().symlink("l", out).file("l/.wh..wh..opq", "").end(),
      TarBuilder().hard_link("h", "../outside/secret").end(),
      TarBuilder().hard_link("h", out + "/secret").end(),
      TarBuilder().symlink("l", out).hard_link("h", "l/secret").end(),
      TarBuilder().symlink("l", out + "/secret").hard_link("h", "l").file("h", "changed").end(),
      TarBuilder().file("..", "x").end(),
      TarBuilder().dir("../outside", 0700).end(),
      TarBuilder().pax({{"path", "../outside/f"}}).file("f").end(),
      TarBuilder().pax({{"linkpath", "../outside/secret"}}).hard_link("h", "x").end(),
      TarBuilder().symlink("a", "b").symlink("b", "../outside").file("a/f").end(),
  };
  const auto before = stat_at(AT_FDCWD, out);
  for (const auto& tar : tars) {
    try {
      run(tar);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::corrupt_data) << e.what();
    }
    EXPECT_EQ(read_file(out + "/secret"), "secret");
    const auto after = stat_at(AT_FDCWD, out);
    EXPECT_EQ(mtime_ns(after), mtime_ns(before));
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(stat_at(AT_FDCWD, out + "/secret").st_nlink, 1U);
    EXPECT_EQ(sorted_names(open_file(out, O_RDONLY | O_DIRECTORY).get()).size(), 1U);
    EXPECT_EQ(sorted_names(open_file(dir.path(), O_RDONLY | O_DIRECTORY).get()).size(), 2U);
    root.reset();
    remove_tree(inside);
    make_dirs(inside);
    root = open_file(inside, O_RDONLY | O_DIRECTORY);
  }
}

TEST_F(Unpack, RefusesWhatALayerCannotHoldAndNamesIt) {
  const struct {
    std::string tar, says;
  } cases[] = {
      {TarBuilder().file("../x").end(), "points out of the layer"},
      {TarBuilder().file("a/../../x").end(), "points out of the layer"},
      {TarBuilder().hard_link("h", "missing").end(), "missing, which is not in the layer"},
      {TarBuilder().dir("d").hard_link("h", "d").end(), "hard link to the directory d"},
      {TarBuilder().file(".wh.a", "").hard_link("h", "a").end(), "which is not in the layer"},
      {TarBuilder().add({.name = "null", .type = '3'}).end(), "0:0"},
      {TarBuilder().pax({{"SCHILY.xattr.trusted.overlay.redirect", "/x"}}).dir("d").end(), "trusted.overlay.redirect"},
      {TarBuilder().pax({{"SCHILY.xattr.user.overlay.opaque", "y"}}).file("f").end(), "user.overlay.opaque"},
      {TarBuilder().file(".wh.", "").end(), "no valid whiteout"},
      {TarBuilder().file(".wh...", "").end(), "no valid whiteout"},
      {TarBuilder().file(".wh.d/x", "").end(), "lies in a whiteout"},
      {TarBuilder().file("a").file("a/b").end(), "entry \"a/b\" of the layer: lies below /a, which is no directory"},
      {TarBuilder().symlink("a", "b").symlink("b", "a").file("a/f").end(), "entry \"a/f\""},
      {TarBuilder().symlink("a", "").end(), "entry \"a\""},
      {TarBuilder().file("/", "x").end(), "root of a layer"},
      {TarBuilder().pax({{"path", std::string(5000, 'a')}}).file("f").end(), "too long"},
      {TarBuilder().pax({{"path", std::string(300, 'a')}}).file("f").end(), "File name too long"},
      {TarBuilder().add({.name = "x", .type = 'Z'}).end(), "unknown type 'Z'"},
      {TarBuilder().raw(TarBuilder::header({.name = "x"}).replace(0, 1, "y"), "").end(), "checksum"},
      {TarBuilder().add({.name = "p", .type = 'x', .data = "30 path=short\n"}).file("f").end(), "PAX record"},
      {TarBuilder().add({.name = "p", .type = 'x', .data = "nonsense"}).file("f").end(), "PAX record"},
      {TarBuilder().pax({{"path", std::string("a\0b", 3)}}).file("f").end(), "NUL"},
      {TarBuilder().pax({{"size", "99999999999999999999"}}).file("f").end(), "number"},
      {TarBuilder().pax({{"size", "-1"}}).file("f").end(), "number"},
      {TarBuilder().pax({{"uid", "99999999999"}}).file("f").end(), "owner"},
      {TarBuilder().pax({{"mtime", "x"}}).file("f").end(), "time"},
      {TarBuilder().pax({{"GNU.sparse.map", "0,10"}, {"GNU.sparse.size", "5"}}).file("f", "x").end(), "sparse"},
      {TarBuilder().pax({{"GNU.sparse.map", "0,1,0,1"}, {"GNU.sparse.size", "5"}}).file("f", "xx").end(), "sparse"},
      {TarBuilder().pax({{"GNU.sparse.map", "0"}, {"GNU.sparse.size", "5"}}).file("f", "x").end(), "sparse"},
  };
  for (const auto& c : cases) {
    const std::string found = failure(c.tar);
    EXPECT_NE(found.find(c.says), std::string::npos) << "expected: " << c.says << "\nfound: " << found;
  }
}

TEST_F(Unpack, TakesAbsoluteAndDottedNamesAsRelativeOnes) {
  run(TarBuilder().file("/abs").file("./dot/./x").file("a/../up").end());
  EXPECT_TRUE(there("abs"));
  EXPECT_TRUE(there("dot/x"));
  EXPECT_TRUE(there("up"));
}

TEST_F(Unpack, ResolvesLinksInParentsInsideTheLayer) {
  run(TarBuilder().dir("usr").dir("usr/lib").symlink("lib", "/usr/lib").file("lib/x").hard_link("h", "lib/x").end());
  EXPECT_TRUE(there("usr/lib/x"));
  EXPECT_EQ(st("h").st_ino, st("usr/lib/x").st_ino);
}

TEST_F(Unpack, ReadsLongNamesOfBothFamilies) {
  const std::string name = "d/" + std::string(150, 'n'), target(200, 't');
  run(TarBuilder()
          .add({.name = "././@LongLink", .type = 'L', .data = name + '\0'})
          .add({.name = "x", .data = "1"})
          .add({.name = "././@LongLink", .type = 'K', .data = target + '\0'})
          .symlink("l", "x")
          .pax({{"path", "d/" + std::string(160, 'p')}, {"linkpath", target}})
          .symlink("x", "x")
          .end());
  EXPECT_EQ(text(name), "1");
  EXPECT_EQ(read_link_at(root.get(), "l"), target);
  EXPECT_EQ(read_link_at(root.get(), "d/" + std::string(160, 'p')), target);
}

TEST_F(Unpack, RestoresTheHolesOfSparseFilesOfAllKinds) {
  std::string gnu = TarBuilder::header({.name = "old", .type = 'S', .data = "abcde"});
  gnu.replace(257, 8, std::string("ustar  \0", 8));
  gnu.replace(345, 150, 150, '\0');
  gnu.replace(386, 48,
              std::string("00000000000\0"
                          "00000000002\0"
                          "00000010000\0"
                          "00000000003\0",
                          48));
  gnu.replace(483, 12, std::string("00000020000\0", 12));
  const std::string map = "2\n0\n2\n4096\n3\n";
  run(TarBuilder()
          .raw(TarBuilder::with_checksum(gnu), "abcde")
          .pax({{"GNU.sparse.numblocks", "2"},
                {"GNU.sparse.size", "8192"},
                {"GNU.sparse.offset", "0"},
                {"GNU.sparse.numbytes", "2"},
                {"GNU.sparse.offset", "4096"},
                {"GNU.sparse.numbytes", "3"}})
          .file("v00", "abcde")
          .pax({{"GNU.sparse.size", "8192"}, {"GNU.sparse.map", "0,2,4096,3"}, {"GNU.sparse.name", "v01"}})
          .file("x", "abcde")
          .pax({{"GNU.sparse.major", "1"},
                {"GNU.sparse.minor", "0"},
                {"GNU.sparse.realsize", "8192"},
                {"GNU.sparse.name", "v10"}})
          .file("x", map + std::string(512 - map.size(), '\0') + "abcde")
          .file("after", "end")
          .end());
  std::string expected(8192, '\0');
  expected.replace(0, 2, "ab");
  expected.replace(4096, 3, "cde");
  for (const char* name : {"old", "v00", "v01", "v10"}) EXPECT_EQ(text(name), expected) << name;
  EXPECT_EQ(text("after"), "end");
}

TEST_F(Unpack, StopsAtItsLimits) {
  const std::string tar = TarBuilder().file("a").file("b").file("c").end();
  EXPECT_THROW(run(tar, {"", "", trusted_overlay, {.entries = 2}}), Error);
  EXPECT_THROW(run(gzip(std::string(1 << 20, '\0')), {"", "", trusted_overlay, {.bytes = 1 << 19}}), Error);
  EXPECT_EQ(run(tar, {"", "", trusted_overlay, {.entries = 3}}).entries, 3U);
}

TEST_F(Unpack, StopsWhenItIsCancelled) {
  CancelSource source;
  source.request("enough");
  testing::FakeContext cancelled(source.token());
  testing::StringStream stream(TarBuilder().file("a").end());
  try {
    unpack(stream, root.get(), {"", "", trusted_overlay, {}}, cancelled);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::cancelled);
  }
}

TEST_F(Unpack, TakesAnEmptyRecordAsNone) {
  run(TarBuilder()
          .pax({{"mtime", "7"}, {"uid", "3"}, {"path", "elsewhere"}, {"mtime", ""}, {"uid", ""}, {"path", ""}})
          .pax({{"SCHILY.xattr.user.empty", ""}})
          .add({.name = "f", .uid = 5, .mtime = 9})
          .end());
  EXPECT_EQ(st("f").st_mtim.tv_sec, 9);
  EXPECT_EQ(st("f").st_uid, 5U);
  EXPECT_EQ(read_xattrs(root.get(), "f").size(), 1U);
}

TEST_F(Unpack, TakesATimeThatNoClockShowsAsNone) {
  run(TarBuilder().pax({{"mtime", "99999999999999.5"}}).file("f").pax({{"mtime", "-99999999999"}}).file("g").end());
  EXPECT_EQ(mtime_ns(st("f")), 0);
  EXPECT_EQ(mtime_ns(st("g")), 0);
}

TEST_F(Unpack, SkipsFramesThatAreNotForIt) {
  const std::string plain = TarBuilder().file("f", "data").end(), note("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  run(note + zstd(plain) + note);
  EXPECT_EQ(text("f"), "data");
}

TEST_F(Unpack, NamesACompressionThatItDoesNotKnow) {
  for (const auto& [bytes, name] : {std::pair<std::string, std::string>{"\xfd"
                                                                        "7zXZ",
                                                                        "xz"},
                                    {"BZh91AY&SY", "bzip2"}}) {
    try {
      run(bytes + std::string(600, 'x'));
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::unsupported);
      EXPECT_NE(e.message().find(name + "; push it again"), std::string::npos) << e.what();
    }
  }
}

TEST_F(Unpack, StopsABombThatNothingHonestCouldPack) {
  const std::string zeros = TarBuilder().file("f", std::string(8 << 20, '\0')).end();
  EXPECT_THROW(run(zstd(zeros), {"", "", trusted_overlay, {.unpacked = 1 << 20}}), Error);
  EXPECT_EQ(run(gzip(zeros), {"", "", trusted_overlay, {.unpacked = 1 << 20}}).entries, 1U);
}

TEST_F(Unpack, TakesAnEmptyArchive) {
  EXPECT_EQ(run("").entries, 0U);
  EXPECT_EQ(run(std::string(10'240, '\0')).entries, 0U);
}

TEST_F(Unpack, ReadsNumbersBeyondOctal) {
  std::string header = TarBuilder::header({.name = "f"});
  header.replace(136, 12,
                 std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12));  // two seconds before 1970
  header.replace(108, 8, std::string("\x80\0\0\0\0\x10\0\0", 8));
  run(TarBuilder().raw(TarBuilder::with_checksum(header), "").end());
  EXPECT_EQ(st("f").st_mtim.tv_sec, -2);
  EXPECT_EQ(st("f").st_uid, 1U << 20);
}

}  // namespace
}  // namespace dagger::store
