#include "core/store/journal.h"

#include <atomic>
#include <set>

#include "core/store/database.h"
#include "tests/unit/store/fixture.h"

namespace dagger::store {
namespace {

using testing::StoreTest;

// A disk whose syncs fail on demand.
struct Disk {
  std::atomic<bool> broken = false;
  std::atomic<int> syncs = 0;
  void sync() {
    ++syncs;
    if (broken) throw Error(Code::internal, "sync: input/output error");
  }
};

// What one process does to a database: nothing is written before flush().
class Process {
 public:
  Process(const std::string& path, const std::string& boot_id, Disk& disk)
      : database_(path, boot_id), journal_(database_, [&disk] { disk.sync(); }, std::chrono::hours(1), log_) {}
  void put(const std::string& name) {
    Record record;
    record.key = Digest::of(name);
    journal_.add(PutRecord{record.key, encode(record)});
  }
  void flush() { journal_.flush(); }
  std::string failure_to_flush() {
    try {
      flush();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

 private:
  Log log_{Level::off, 2};
  Database database_;
  Journal journal_;
};

class JournalTest : public ::testing::Test {
 protected:
  // What a start finds.
  std::set<Digest> found(const std::string& boot_id) {
    std::set<Digest> keys;
    Database::Loader loader;
    loader.layer = [](LayerId, std::string_view) {};
    loader.record = [&](const Digest& key, std::string_view) { keys.insert(key); };
    loader.key = [](const Digest&, const Digest&) {};
    loader.blob = [](const Digest&, std::uint64_t) {};
    Database(path, boot_id).load(loader);
    return keys;
  }
  static std::set<Digest> keys(std::initializer_list<std::string> names) {
    std::set<Digest> out;
    for (const auto& name : names) out.insert(Digest::of(name));
    return out;
  }
  void sql(const std::string& text) { ASSERT_EQ(std::system(("sqlite3 " + path + " \"" + text + "\"").c_str()), 0); }
  // Fails to sync once, in a process that goes on and ends in good order.
  void lose_something() {
    Process process(path, "boot", disk);
    process.put("safe");
    process.flush();
    process.put("lost");
    disk.broken = true;
    EXPECT_NE(process.failure_to_flush(), "");
    disk.broken = false;
    process.put("later");
    EXPECT_NE(process.failure_to_flush(), "");
  }

  TempDir dir{"/dev/shm"};
  const std::string path = dir.path() + "/records.db";
  Disk disk;
};

TEST_F(JournalTest, KeepsOverAPowerLossWhatWasSynced) {
  {
    Process process(path, "boot", disk);
    process.put("safe");
    process.flush();
  }
  EXPECT_EQ(found("next boot"), keys({"safe"}));
}

TEST_F(JournalTest, SaysWhyItCouldNotSyncAndWhatToDoEvenWhenTheDiskWorksAgain) {
  Process process(path, "boot", disk);
  process.put("lost");
  disk.broken = true;
  const std::string why = process.failure_to_flush();
  EXPECT_NE(why.find("input/output error"), std::string::npos) << why;
  EXPECT_NE(why.find("restart the runner"), std::string::npos) << why;
  disk.broken = false;
  EXPECT_EQ(process.failure_to_flush(), why);
  process.put("later");
  EXPECT_EQ(process.failure_to_flush(), why);
}

TEST_F(JournalTest, DoesNotBelieveASyncThatFollowsAFailedOne) {
  lose_something();
  EXPECT_EQ(found("next boot"), keys({"safe"}));
}

TEST_F(JournalTest, DropsWhatAFailedSyncMayHaveLostThoughTheMachineWasNeverOff) {
  lose_something();
  EXPECT_EQ(found("boot"), keys({"safe"}));
}

TEST_F(JournalTest, BelievesTheDiskAgainInTheNextProcess) {
  lose_something();
  {
    Process process(path, "boot", disk);
    process.put("new");
    process.flush();
  }
  EXPECT_EQ(found("boot"), keys({"safe", "new"}));
  EXPECT_EQ(found("next boot"), keys({"safe", "new"}));
}

TEST_F(JournalTest, DoesNotTakeTheSyncsOfAnEarlierProcessForItsOwn) {
  {
    Process process(path, "boot", disk);
    process.put("safe");
    process.flush();
    process.flush();
  }
  disk.broken = true;
  {
    Process process(path, "boot", disk);
    process.put("lost");
  }
  EXPECT_EQ(found("next boot"), keys({"safe"}));
}

TEST_F(JournalTest, KeepsWhatWasNotSyncedWhenTheMachineWasNeverOff) {
  {
    Process process(path, "boot", disk);
    process.put("safe");
    process.flush();
  }
  sql("UPDATE meta SET value = 0 WHERE name = CAST('synced' AS BLOB)");
  EXPECT_EQ(found("boot"), keys({"safe"}));
}

TEST_F(JournalTest, TriesABatchAgainThatTheDatabaseRefused) {
  {
    Process process(path, "boot", disk);
    sql("ALTER TABLE record RENAME TO away");
    process.put("refused");
    EXPECT_NE(process.failure_to_flush(), "");
    EXPECT_EQ(disk.syncs, 0);
    sql("ALTER TABLE away RENAME TO record");
    process.put("next");
    process.flush();
  }
  EXPECT_EQ(found("next boot"), keys({"refused", "next"}));
}

TEST_F(StoreTest, DropsRecordsAndLayersThatAFailedSyncMayHaveLost) {
  const auto put = [this](const std::string& name) {
    Record record;
    record.key = Digest::of(name);
    record.outputs.push_back({"root", -1, {layer_with("f", name)}});
    store->put(record);
  };
  put("safe");
  store->flush();
  const std::string path = dir.path() + "/state/records.db";
  store.reset();
  Disk disk;
  {
    Process process(path, running_boot_id(), disk);
    disk.broken = true;
    process.put("lost");
    EXPECT_NE(process.failure_to_flush(), "");
  }
  reopen();
  EXPECT_TRUE(store->find(Digest::of("safe")));
  EXPECT_FALSE(store->find(Digest::of("lost")));
  put("lost");
  store->flush();
  reopen();
  EXPECT_TRUE(store->find(Digest::of("lost")));
}

}  // namespace
}  // namespace dagger::store
