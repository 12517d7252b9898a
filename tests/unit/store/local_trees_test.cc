#include "core/store/local_trees.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "core/store/manifest.h"
#include "core/store/tree/dir.h"
#include "tests/unit/store/fixture.h"

namespace dagger::store {
namespace {

// A host directory in memory, and what was asked of it.
class HostTree final : public TreeSource {
 public:
  struct Dir {
    std::map<std::string, Dir> dirs = {};
    std::map<std::string, std::string> files = {};
    std::int64_t mtime = 5;
    std::vector<Entry> others = {};
  };
  Digest set(const Dir& top) { return add(top); }

  std::unique_ptr<plugin::ByteStream> nodes(const std::vector<Digest>& digests) override {
    std::string out;
    for (const auto& d : digests) add(out, nodes_.at(d)), ++nodes_sent;
    return std::make_unique<testing::StringStream>(out, 7);
  }
  std::unique_ptr<plugin::ByteStream> contents(const std::vector<Digest>& digests) override {
    const std::scoped_lock lock(mutex_);
    std::string out;
    for (const auto& d : digests) {
      add(out, contents_.at(d));
      sent.insert(contents_.at(d));
    }
    if (cut) out.resize(out.size() / 2);
    return std::make_unique<testing::StringStream>(out, 7);
  }
  void lie(const std::string& truth, const std::string& lie) { contents_[Digest::of(truth)] = lie; }
  void lie_about_node(const Digest& d) { nodes_[d] += "x"; }

  std::multiset<std::string> sent;
  int nodes_sent = 0;
  bool cut = false;

 private:
  Digest add(const Dir& dir) {
    Node node;
    for (const auto& [name, child] : dir.dirs)
      node.entries.push_back(
          {.name = name, .type = EntryType::directory, .mode = 0750, .mtime_ns = 7, .content = add(child)});
    for (const auto& [name, data] : dir.files) {
      node.entries.push_back(
          {.name = name, .mode = 0640, .mtime_ns = dir.mtime, .size = data.size(), .content = Digest::of(data)});
      contents_[Digest::of(data)] = data;
    }
    for (const auto& e : dir.others) node.entries.push_back(e);
    std::ranges::sort(node.entries, {}, &Entry::name);
    const Digest d = exact_digest(node);
    nodes_[d] = encode(node);
    return d;
  }
  static void add(std::string& out, const std::string& data) {
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(data.size() >> shift);
    out += data;
  }
  std::mutex mutex_;
  std::map<Digest, std::string> nodes_, contents_;
};

class LocalTrees : public testing::StoreTest {
 protected:
  Stack make(const Digest& tree, const std::string& hint = "here") {
    return make_local_tree(*store, tree, hint, host, ctx);
  }
  int root(const Stack& stack) {
    opened.push_back(dagger::open_file(path_of(stack.at(0)), O_RDONLY | O_DIRECTORY));
    return opened.back().get();
  }
  std::string text(int dir, const std::string& path) { return testing::get_file(dir, path); }
  HostTree host;
  std::vector<UniqueFd> opened;
};

TEST_F(LocalTrees, MakesATreeWithAllItsAttributes) {
  HostTree::Dir top{.dirs = {{"d", {.files = {{"x", "same"}, {"y", "same"}}}}},
                    .files = {{"f", "data"}, {"empty", ""}}};
  top.others.push_back({.name = "l", .type = EntryType::symlink, .mode = 0777, .mtime_ns = 9, .target = "../../etc"});
  top.others.push_back({.name = "p", .type = EntryType::fifo, .mode = 0600});
  top.others.push_back({.name = "s",
                        .mode = 04755,
                        .uid = 3,
                        .mtime_ns = 11,
                        .size = 4,
                        .content = Digest::of("data"),
                        .xattrs = {{"user.k", "v"}}});
  const int r = root(make(host.set(top)));
  EXPECT_EQ(text(r, "d/x"), "same");
  EXPECT_EQ(text(r, "d/y"), "same");
  EXPECT_EQ(text(r, "empty"), "");
  EXPECT_EQ(stat_at(r, "d").st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(mtime_ns(stat_at(r, "d")), 7);
  EXPECT_EQ(mtime_ns(stat_at(r, "f")), 5);
  EXPECT_EQ(read_link_at(r, "l"), "../../etc");
  EXPECT_EQ(stat_at(r, "p").st_mode, S_IFIFO | 0600U);
  EXPECT_EQ(stat_at(r, "s").st_mode, S_IFREG | 04755U);
  EXPECT_EQ(stat_at(r, "s").st_uid, 3U);
  EXPECT_EQ(read_xattrs(r, "s"), (Xattrs{{"user.k", "v"}}));
  EXPECT_EQ(mtime_ns(stat_of(r)), 11);
  EXPECT_EQ(host.sent.size(), 3U);  // equal contents travel once
}

TEST_F(LocalTrees, AsksNothingAboutATreeItHas) {
  const Digest tree = host.set({.files = {{"f", "1"}}});
  const Stack first = make(tree);
  store->flush();
  reopen();
  host.nodes_sent = 0;
  host.sent.clear();
  EXPECT_EQ(make(tree, "elsewhere"), first);
  EXPECT_EQ(host.nodes_sent, 0);
  EXPECT_TRUE(host.sent.empty());
}

TEST_F(LocalTrees, FetchesOnlyWhatChangedSinceTheLastTreeFromThere) {
  HostTree::Dir top{.dirs = {{"same", {.files = {{"a", "1"}, {"b", "2"}}}}, {"touched", {.files = {{"c", "3"}}}}},
                    .files = {{"f", "4"}, {"gone", "5"}}};
  const int before = root(make(host.set(top)));
  host.nodes_sent = 0;
  host.sent.clear();
  top.files["f"] = "changed";
  top.files.erase("gone");
  top.dirs["touched"].mtime = 6;  // another time: the inode cannot be shared
  const int after = root(make(host.set(top)));
  EXPECT_EQ(host.sent, (std::multiset<std::string>{"3", "changed"}));
  EXPECT_EQ(host.nodes_sent, 2);
  EXPECT_EQ(stat_at(after, "same/a").st_ino, stat_at(before, "same/a").st_ino);
  EXPECT_EQ(text(after, "f"), "changed");
  EXPECT_EQ(text(before, "f"), "4");
  EXPECT_FALSE(try_stat_at(after, "gone"));
  EXPECT_EQ(mtime_ns(stat_at(before, "touched/c")), 5);
  EXPECT_EQ(mtime_ns(stat_at(after, "touched/c")), 6);
}

TEST_F(LocalTrees, FetchesAgainWhatTheBaseHasLost) {
  HostTree::Dir top{.files = {{"a", "1"}, {"b", "2"}}};
  const Stack base = make(host.set(top));
  ASSERT_EQ(::unlink((path_of(base[0]) + "/a").c_str()), 0);
  top.files["c"] = "3";
  const int r = root(make(host.set(top)));
  EXPECT_EQ(text(r, "a"), "1");
}

TEST_F(LocalTrees, GivesAnEmptyStackForAnEmptyDirectory) {
  EXPECT_TRUE(make(host.set({})).empty());
  EXPECT_TRUE(make(host.set({})).empty());
}

TEST_F(LocalTrees, RefusesWhatIsNotAsAnnounced) {
  const Digest tree = host.set({.files = {{"f", "data"}}});
  host.lie("data", "lies");
  EXPECT_THROW(make(tree), Error);
  host.lie("data", "longer lies");
  EXPECT_THROW(make(tree), Error);
  host.lie("data", "data");
  host.cut = true;
  EXPECT_THROW(make(tree), Error);
  host.cut = false;
  host.lie_about_node(tree);
  EXPECT_THROW(make(tree), Error);
  EXPECT_EQ(store->usage().layers, 0U);
}

TEST(Manifest, SurvivesEncoding) {
  const Node node{{{.name = "a", .type = EntryType::directory, .mode = 0755, .content = Digest::of("x")},
                   {.name = std::string("b\xff"),
                    .mode = 07777,
                    .uid = 1,
                    .gid = 2,
                    .mtime_ns = -5,
                    .size = 9,
                    .content = Digest::of("y"),
                    .xattrs = {{"user.a", "1"}, {"user.b", "2"}}},
                   {.name = "c", .type = EntryType::symlink, .target = "t"},
                   {.name = "d", .type = EntryType::fifo}}};
  EXPECT_EQ(decode_node(encode(node)).entries, node.entries);
}

TEST(Manifest, RefusesWhatNoDirectoryCanHold) {
  const Entry good{.name = "a", .content = Digest::of("x")};
  const auto refused = [](std::vector<Entry> entries) {
    try {
      decode_node(encode(Node{std::move(entries)}));
      return false;
    } catch (const Error& e) {
      return e.code() == Code::corrupt_data;
    }
  };
  EXPECT_FALSE(refused({good}));
  for (const auto& name : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                           std::string("a\0", 2), std::string(256, 'a')}) {
    Entry e = good;
    e.name = name;
    EXPECT_TRUE(refused({e})) << name;
  }
  EXPECT_TRUE(refused({good, good}));
  Entry e = good;
  e.name = "b";
  EXPECT_TRUE(refused({e, good}));
  e = good, e.mode = 010000;
  EXPECT_TRUE(refused({e}));
  e = good, e.content = {};
  EXPECT_TRUE(refused({e}));
  e = good, e.target = "x";
  EXPECT_TRUE(refused({e}));
  e = good, e.xattrs = {{"b", ""}, {"a", ""}};
  EXPECT_TRUE(refused({e}));
  e = {.name = "l", .type = EntryType::symlink};
  EXPECT_TRUE(refused({e}));
  EXPECT_THROW(decode_node(encode(Node{{good}}) + "x"), Error);
  EXPECT_THROW(decode_node("nonsense"), Error);
}

}  // namespace
}  // namespace dagger::store
