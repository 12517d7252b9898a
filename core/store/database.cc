#include "core/store/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <mutex>

#include "core/base/fs.h"
#include "dagger/plugin/error.h"

namespace dagger::store {
namespace {

Code code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
      return Code::no_space;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::corrupt_data;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::unavailable;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return Code::permission_denied;
    default:
      return Code::internal;
  }
}

constexpr const char* schema = R"(
  CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS layer(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, data BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS record(key BLOB PRIMARY KEY, batch INTEGER NOT NULL, data BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS extra_key(extra BLOB PRIMARY KEY, key BLOB NOT NULL, batch INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS blob(digest BLOB PRIMARY KEY, size INTEGER NOT NULL, batch INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS value(name TEXT, key BLOB, data BLOB NOT NULL, used INTEGER NOT NULL, batch INTEGER NOT NULL,
                                   PRIMARY KEY(name, key)) WITHOUT ROWID;
)";

}  // namespace

// A prepared statement is kept per text. Callers hold mutex.
class Database::Connection {
 public:
  explicit Connection(const std::string& path) : path_(path) {
    const int result =
        sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    if (result != SQLITE_OK) {
      const std::string why = db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(result);
      sqlite3_close_v2(db_);
      throw Error(code_of(result), "open " + path + ": " + why);
    }
    sqlite3_busy_timeout(db_, 10'000);
  }
  ~Connection() {
    for (auto& [text, statement] : statements_) sqlite3_finalize(statement);
    sqlite3_close_v2(db_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void script(const char* text) { check(sqlite3_exec(db_, text, nullptr, nullptr, nullptr)); }

  // Runs a statement to its end; row is called for each row.
  template <class Row, class... Args>
  void each(const char* text, Row row, const Args&... args) {
    sqlite3_stmt* s = prepare(text);
    struct Reset {
      sqlite3_stmt* s;
      ~Reset() { sqlite3_reset(s), sqlite3_clear_bindings(s); }
    } const reset{s};
    int at = 0;
    (bind(s, ++at, args), ...);
    for (;;) {
      const int result = sqlite3_step(s);
      if (result == SQLITE_DONE) return;
      if (result != SQLITE_ROW) check(result);
      row(s);
    }
  }
  template <class... Args>
  void run(const char* text, const Args&... args) {
    each(text, [](sqlite3_stmt*) {}, args...);
  }

  static std::string_view bytes(sqlite3_stmt* s, int column) {
    const void* data = sqlite3_column_blob(s, column);
    return {static_cast<const char*>(data),
            data == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(s, column))};
  }

  std::mutex mutex;

 private:
  void check(int result) {
    if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW) return;
    throw Error(code_of(result), path_ + ": " + sqlite3_errmsg(db_));
  }
  sqlite3_stmt* prepare(const char* text) {
    auto& statement = statements_[text];
    if (statement == nullptr) check(sqlite3_prepare_v3(db_, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
    return statement;
  }
  void bind(sqlite3_stmt* s, int at, std::uint64_t v) {
    check(sqlite3_bind_int64(s, at, static_cast<sqlite3_int64>(v)));
  }
  void bind(sqlite3_stmt* s, int at, std::int64_t v) { check(sqlite3_bind_int64(s, at, v)); }
  void bind(sqlite3_stmt* s, int at, const Digest& d) { bind_blob(s, at, d.raw()); }
  void bind(sqlite3_stmt* s, int at, const std::string& v) { bind_blob(s, at, v); }
  void bind_blob(sqlite3_stmt* s, int at, std::string_view v) {
    check(v.empty() ? sqlite3_bind_zeroblob(s, at, 0) : sqlite3_bind_blob64(s, at, v.data(), v.size(), SQLITE_STATIC));
  }

  std::string path_;
  sqlite3* db_ = nullptr;
  std::map<std::string_view, sqlite3_stmt*> statements_;
};

namespace {

constexpr const char* set_meta = "INSERT OR REPLACE INTO meta(name, value) VALUES(?, ?)";

template <class C>
std::uint64_t number(C& c, const std::string& name) {
  std::uint64_t out = 0;
  c.each(
      "SELECT value FROM meta WHERE name = ?",
      [&](sqlite3_stmt* s) { out = static_cast<std::uint64_t>(sqlite3_column_int64(s, 0)); }, name);
  return out;
}

// What a batch number says is lost with the machine's memory.
template <class C>
void drop_unsynced(C& c, const std::string& boot_id) {
  std::string last;
  c.each("SELECT value FROM meta WHERE name = ?", [&](sqlite3_stmt* s) { last = C::bytes(s, 0); }, std::string("boot"));
  if (last == boot_id) return;
  const std::uint64_t synced = number(c, "synced");
  for (const char* text : {"DELETE FROM layer WHERE batch > ?", "DELETE FROM record WHERE batch > ?",
                           "DELETE FROM extra_key WHERE batch > ?", "DELETE FROM blob WHERE batch > ?",
                           "DELETE FROM value WHERE batch > ?"})
    c.run(text, synced);
  c.run(set_meta, std::string("boot"), boot_id);
}

template <class C>
struct Apply {
  C& c;
  std::uint64_t batch;
  std::int64_t now;
  void operator()(const PutLayer& x) {
    c.run("INSERT OR REPLACE INTO layer(id, batch, data) VALUES(?, ?, ?)", x.id, batch, x.data);
  }
  void operator()(const DropLayer& x) { c.run("DELETE FROM layer WHERE id = ?", x.id); }
  void operator()(const PutRecord& x) {
    c.run("INSERT OR REPLACE INTO record(key, batch, data) VALUES(?, ?, ?)", x.key, batch, x.data);
  }
  void operator()(const DropRecord& x) { c.run("DELETE FROM record WHERE key = ?", x.key); }
  void operator()(const PutKey& x) {
    c.run("INSERT OR REPLACE INTO extra_key(extra, key, batch) VALUES(?, ?, ?)", x.extra, x.key, batch);
  }
  void operator()(const DropKey& x) { c.run("DELETE FROM extra_key WHERE extra = ?", x.extra); }
  void operator()(const PutBlob& x) {
    c.run("INSERT OR REPLACE INTO blob(digest, size, batch) VALUES(?, ?, ?)", x.digest, x.size, batch);
  }
  void operator()(const DropBlob& x) { c.run("DELETE FROM blob WHERE digest = ?", x.digest); }
  void operator()(const PutValue& x) {
    c.run("INSERT OR REPLACE INTO value(name, key, data, used, batch) VALUES(?, ?, ?, ?, ?)", x.table, x.key, x.value,
          now, batch);
  }
  void operator()(const DropValue& x) { c.run("DELETE FROM value WHERE name = ? AND key = ?", x.table, x.key); }
  void operator()(const TouchValue& x) {
    c.run("UPDATE value SET used = ? WHERE name = ? AND key = ?", now, x.table, x.key);
  }
};

// Rolls back unless done() was called.
template <class C>
class Transaction {
 public:
  explicit Transaction(C& c) : c_(c) { c_.run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (done_) return;
    try {
      c_.run("ROLLBACK");
    } catch (const Error&) {  // SQLite has rolled back by itself
    }
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void done() {
    c_.run("COMMIT");
    done_ = true;
  }

 private:
  C& c_;
  bool done_ = false;
};

}  // namespace

std::string running_boot_id() {
  std::string id = read_file("/proc/sys/kernel/random/boot_id", 64);
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

Database::Database(const std::string& path, const std::string& boot_id) : writer_(std::make_unique<Connection>(path)) {
  writer_->script("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -2000;");
  writer_->script(schema);
  Transaction t(*writer_);
  drop_unsynced(*writer_, boot_id);
  t.done();
  reader_ = std::make_unique<Connection>(path);
  reader_->script("PRAGMA query_only = 1; PRAGMA cache_size = -1000;");
}
Database::~Database() = default;

void Database::load(const Loader& to) {
  const std::lock_guard lock(writer_->mutex);
  using C = Connection;
  writer_->each("SELECT id, data FROM layer",
                [&](sqlite3_stmt* s) { to.layer(static_cast<LayerId>(sqlite3_column_int64(s, 0)), C::bytes(s, 1)); });
  writer_->each("SELECT key, data FROM record",
                [&](sqlite3_stmt* s) { to.record(Digest::from_bytes(C::bytes(s, 0)), C::bytes(s, 1)); });
  writer_->each("SELECT extra, key FROM extra_key", [&](sqlite3_stmt* s) {
    to.key(Digest::from_bytes(C::bytes(s, 0)), Digest::from_bytes(C::bytes(s, 1)));
  });
  writer_->each("SELECT digest, size FROM blob", [&](sqlite3_stmt* s) {
    to.blob(Digest::from_bytes(C::bytes(s, 0)), static_cast<std::uint64_t>(sqlite3_column_int64(s, 1)));
  });
}

std::uint64_t Database::last_batch() const {
  const std::lock_guard lock(writer_->mutex);
  // A sync without changes is marked with a number that no row has.
  return std::max(number(*writer_, "last"), number(*writer_, "synced"));
}
LayerId Database::next_layer() const {
  const std::lock_guard lock(writer_->mutex);
  return number(*writer_, "next-layer");
}
void Database::set_next_layer(LayerId id) {
  const std::lock_guard lock(writer_->mutex);
  writer_->run(set_meta, std::string("next-layer"), id);
}

void Database::commit(const std::vector<Change>& changes, std::uint64_t batch) {
  const std::lock_guard lock(writer_->mutex);
  Transaction t(*writer_);
  Apply<Connection> apply{*writer_, batch, static_cast<std::int64_t>(std::time(nullptr))};
  for (const auto& change : changes) std::visit(apply, change);
  writer_->run(set_meta, std::string("last"), batch);
  t.done();
}

void Database::mark_synced(std::uint64_t batch) {
  const std::lock_guard lock(writer_->mutex);
  writer_->run(set_meta, std::string("synced"), batch);
}

void Database::distrust_unsynced() {
  const std::lock_guard lock(writer_->mutex);
  writer_->run(set_meta, std::string("boot"), std::string());  // no kernel's id
}

void Database::expire_values(const std::vector<std::string>& tables, std::int64_t unused_since) {
  const std::lock_guard lock(writer_->mutex);
  for (const auto& table : tables) writer_->run("DELETE FROM value WHERE name = ? AND used < ?", table, unused_since);
}

std::optional<Database::Value> Database::value(const std::string& table, const std::string& key) const {
  const std::lock_guard lock(reader_->mutex);
  std::optional<Value> out;
  reader_->each(
      "SELECT data, used FROM value WHERE name = ? AND key = ?",
      [&](sqlite3_stmt* s) { out = Value{std::string(Connection::bytes(s, 0)), sqlite3_column_int64(s, 1)}; }, table,
      key);
  return out;
}

}  // namespace dagger::store
