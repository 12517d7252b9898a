#include "core/store/store.h"

#include <csignal>
#include <cstdlib>
#include <future>

#include "core/store/tree/dir.h"
#include "tests/unit/store/fixture.h"
#include "tests/unit/store/tar_builder.h"

namespace dagger::store {
namespace {

using testing::StoreTest;

Record record_of(const std::string& name, Stack layers = {}) {
  Record r;
  r.key = Digest::of(name);
  r.kind = "exec";
  r.outputs.push_back({"root", 0, std::move(layers)});
  r.exit_code = 3;
  r.cost_usec = 7;
  r.created_unix = 1000;
  r.parts.push_back({"args", Digest::of("args")});
  r.slot = Digest::of("slot");
  return r;
}

void wait_for_digests(Store& store, const Stack& stack) {
  std::promise<void> done;
  store.when_digested(stack, [&] { done.set_value(); });
  done.get_future().wait();
}

TEST_F(StoreTest, KeepsRecordsAndTheirLayersOverARestart) {
  const LayerId id = layer_with("a", "hello");
  Record r = record_of("r", {id});
  r.stdout_log = store->put_blob("output");
  store->put(r);
  store->add_key(Digest::of("other"), r.key);
  store->put_value("pin", "k", "v");
  reopen();
  const auto found = store->find(Digest::of("other"));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key, r.key);
  EXPECT_EQ(found->outputs.front().layers, Stack{id});
  EXPECT_EQ(found->exit_code, 3);
  EXPECT_EQ(found->parts.front().name, "args");
  EXPECT_EQ(store->last_in_slot(r.slot)->key, r.key);
  EXPECT_EQ(store->value("pin", "k"), "v");
  EXPECT_EQ(read_all(store->open_blob(r.stdout_log).get(), 100), "output");
  const auto view = store->view({id}, ctx);
  EXPECT_EQ(testing::get_file(view->root_fd(), "a"), "hello");
}

TEST_F(StoreTest, MakesNoLayerOfAWorkspaceWithoutChanges) {
  auto workspace = store->workspace({}, {}, ctx);
  EXPECT_FALSE(workspace->seal(ctx));
  EXPECT_EQ(store->usage().layers, 0U);
}

TEST_F(StoreTest, NeverReusesTheNumberOfALayer) {
  const LayerId first = layer_with("a", "1");
  reopen();
  const LayerId second = layer_with("a", "2");
  EXPECT_GT(second, first);
  EXPECT_LT(second, first + 10);  // a clean end gives back what was reserved
}

TEST_F(StoreTest, DropsOnlyTheRecordsWhoseLayerIsGone) {
  const LayerId lost = layer_with("a", "1"), kept = layer_with("b", "2");
  store->put(record_of("lost", {lost}));
  store->put(record_of("kept", {kept}));
  store->add_key(Digest::of("alias"), Digest::of("lost"));
  const std::string path = path_of(lost);
  store.reset();
  remove_tree(parent_path(path));
  reopen();
  EXPECT_FALSE(store->find(Digest::of("lost")));
  EXPECT_FALSE(store->find(Digest::of("alias")));
  EXPECT_FALSE(store->layer(lost));
  EXPECT_TRUE(store->find(Digest::of("kept")));
}

TEST_F(StoreTest, ForgetsARecordThatIsDropped) {
  store->put(record_of("r"));
  store->drop(Digest::of("r"));
  EXPECT_FALSE(store->find(Digest::of("r")));
  reopen();
  EXPECT_FALSE(store->find(Digest::of("r")));
}

TEST_F(StoreTest, RefusesASecondRunnerAndNamesTheFirst) {
  try {
    Store::open({.dir = dir.path() + "/state"}, snapshotter, log);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unavailable);
    EXPECT_NE(e.message().find("pid " + std::to_string(::getpid())), std::string::npos) << e.what();
  }
}

TEST_F(StoreTest, RefusesADirectoryOfANewerVersion) {
  store.reset();
  write_file_atomically(dir.path() + "/state/version", "2\n");
  try {
    reopen();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::unsupported);
    EXPECT_NE(e.message().find("newer version"), std::string::npos) << e.what();
  }
}

// A runner that is killed right after it has published more than it has committed.
[[noreturn]] void publish_and_die(const std::string& dir) {
  Log log(Level::off, 2);
  testing::DirectorySnapshotter snapshotter;
  testing::FakeContext ctx;
  const auto store = Store::open({.dir = dir, .commit_interval = std::chrono::hours(1)}, snapshotter, log);
  const auto layer = [&](const std::string& data) {
    auto workspace = store->workspace({}, {}, ctx);
    testing::put_file(workspace->root_fd(), "f", data);
    return workspace->seal(ctx).value();
  };
  store->put(record_of("committed", {layer("1")}));
  store->flush();
  store->put(record_of("lost", {layer("2")}));  // renamed into place, not committed
  const auto half_made = store->workspace({}, {}, ctx);
  testing::put_file(half_made->root_fd(), "c", "3");
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

TEST(KilledStoreDeathTest, HasWhatWasCommittedAndNothingElse) {
  GTEST_FLAG_SET(death_test_style,
                 "threadsafe");  // the child is this program again: it finds the directory by its name
  constexpr const char* name = "STORE_UNDER_TEST";
  std::optional<TempDir> dir;
  if (::getenv(name) == nullptr) {
    dir.emplace("/dev/shm");
    ::setenv(name, dir->path().c_str(), 1);
  }
  const std::string state = std::string(::getenv(name)) + "/state";
  EXPECT_EXIT(publish_and_die(state), ::testing::KilledBySignal(SIGKILL), "");
  ::unsetenv(name);
  Log log(Level::off, 2);
  testing::DirectorySnapshotter snapshotter;
  testing::FakeContext ctx;
  const auto store = Store::open({.dir = state}, snapshotter, log);
  EXPECT_TRUE(store->find(Digest::of("committed")));
  EXPECT_FALSE(store->find(Digest::of("lost")));
  EXPECT_EQ(store->usage().layers, 1U);
  const auto work = open_file(state + "/work", O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(sorted_names(work.get()).empty());
  const auto workspace = store->workspace({}, {}, ctx);
  testing::put_file(workspace->root_fd(), "f", "4");
  EXPECT_GT(workspace->seal(ctx).value(), 1'000'000U);  // numbers that may have been used are skipped
}

TEST_F(StoreTest, DropsAfterAPowerLossWhatWasNotSynced) {
  // The same as another boot id: what counts is the mark in the database, so rewrite it.
  store->put(record_of("synced"));
  store->flush();
  store.reset();
  const std::string db = dir.path() + "/state/records.db";
  const auto sql = [&](const std::string& text) {
    ASSERT_EQ(std::system(("sqlite3 " + db + " \"" + text + "\"").c_str()), 0);
  };
  sql("UPDATE meta SET value = 'another boot' WHERE name = CAST('boot' AS BLOB);"
      "INSERT INTO record SELECT x'" +
      Digest::of("unsynced").hex() + "', 999, data FROM record;");
  reopen();
  EXPECT_TRUE(store->find(Digest::of("synced")));
  EXPECT_FALSE(store->find(Digest::of("unsynced")));
}

TEST_F(StoreTest, ForgetsABlobThatIsDamaged) {
  const Digest d = store->put_blob("some text");
  store->flush();
  ASSERT_EQ(::truncate((dir.path() + "/state/blobs/" + d.hex().substr(0, 2) + "/" + d.hex()).c_str(), 3), 0);
  EXPECT_THROW(store->open_blob(d), Error);
  EXPECT_EQ(store->put_blob("some text"), d);
  EXPECT_EQ(read_all(store->open_blob(d).get(), 100), "some text");
}

TEST_F(StoreTest, TakesAFileInAsABlob) {
  const std::string path = store->scratch_dir() + "/f";
  write_file_atomically(path, "data");
  const Digest d = store->put_blob_file(path);
  EXPECT_EQ(d, Digest::of("data"));
  EXPECT_FALSE(exists(path));
  EXPECT_EQ(store->usage().blobs, 1U);
  EXPECT_EQ(store->usage().blob_bytes, 4U);
}

TEST_F(StoreTest, EmptiesScratchAtEveryStart) {
  write_file_atomically(store->scratch_dir() + "/f", "data");
  reopen();
  EXPECT_FALSE(exists(store->scratch_dir() + "/f"));
}

TEST_F(StoreTest, FillsAVolumeOnceAndForgetsOneThatWasNotFilled) {
  const Digest id = Digest::of("volume");
  EXPECT_THROW(store->volume(id, [](int) { throw Error(Code::no_space, "full"); }), Error);
  const auto first = store->volume(id, [](int root) { testing::put_file(root, "seed", "1"); });
  EXPECT_TRUE(first.fresh);
  EXPECT_TRUE(exists(first.path + "/seed"));
  const auto second = store->volume(id);
  EXPECT_FALSE(second.fresh);
  EXPECT_EQ(second.path, first.path);
}

TEST_F(StoreTest, TellsWhenTheDigestsOfLayersAreKnown) {
  const LayerId a = layer_with("f", "same"), b = layer_with("f", "same"), c = layer_with("f", "other");
  wait_for_digests(*store, {a, b, c});
  EXPECT_TRUE(store->layer(a)->content);
  EXPECT_EQ(store->layer(a)->content, store->layer(b)->content);
  EXPECT_NE(store->layer(a)->content, store->layer(c)->content);
  EXPECT_NE(store->stack_digest({a, c}, false), store->stack_digest({c, a}, false));
  EXPECT_EQ(store->stack_digest({a, c}, false), store->stack_digest({b, c}, false));
  EXPECT_FALSE(store->stack_digest({a, 999}, false));
  store->flush();
  reopen();
  EXPECT_TRUE(store->layer(a)->exact);
}

TEST_F(StoreTest, UnpacksAndRemembersWhereALayerCameFrom) {
  const std::string tar = testing::TarBuilder().dir("etc").file("etc/hosts", "h").end();
  const std::string digest = Digest::of(tar).str();
  const LayerId id = unpack(tar);
  EXPECT_EQ(store->by_diff_id(digest), id);
  EXPECT_EQ(read_file(path_of(id) + "/etc/hosts"), "h");
  reopen();
  EXPECT_EQ(store->by_diff_id(digest), id);
}

TEST_F(StoreTest, LeavesNothingOfALayerThatDoesNotMatchItsDigest) {
  testing::StringStream stream(testing::TarBuilder().file("a").end());
  EXPECT_THROW(store->unpack(stream, "", Digest::of("else").str(), ctx), Error);
  EXPECT_EQ(store->usage().layers, 0U);
  reopen();
  const auto work = open_file(dir.path() + "/state/work", O_RDONLY | O_DIRECTORY);
  EXPECT_TRUE(exists(dir.path() + "/state/work"));
  EXPECT_FALSE(exists(dir.path() + "/state/layers/1"));
}

TEST_F(StoreTest, LeavesOutWhatAnOpaqueRootHides) {
  const LayerId below = layer_with("a", "1"),
                above = unpack(testing::TarBuilder().file(".wh..wh..opq", "").file("b").end());
  store->view({below, above}, ctx);
  EXPECT_EQ(snapshotter.last.stack.size(), 1U);
}

// Images have the same layer several times; overlay takes each directory once.
TEST_F(StoreTest, LeavesOutALayerThatComesAgainFurtherUp) {
  const LayerId a = layer_with("a", "1"), b = layer_with("b", "1"), c = layer_with("c", "1");
  EXPECT_EQ(without_repeats({a, b, a, c, c}), (Stack{b, a, c}));
  store->view({a, b, a, c, c}, ctx);
  ASSERT_EQ(snapshotter.last.stack.size(), 3U);
  EXPECT_EQ(snapshotter.last.stack[0].id, std::to_string(b));
}

TEST_F(StoreTest, SaysWhichLayerIsMissing) {
  try {
    store->view({42}, ctx);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::not_found);
    EXPECT_NE(e.message().find("layer 42"), std::string::npos);
  }
}

}  // namespace
}  // namespace dagger::store
