// core/store/publisher.h — numbers new layers, moves them to their places and makes them known. [thread-safe]
//
// Numbers are reserved in the database in blocks, ahead of their use: a runner that is killed leaves a gap, but no
// number comes twice. Errors: those of the file system and of the database.
#pragma once
#include <atomic>
#include <mutex>
#include <string>

#include "core/store/rows.h"

namespace dagger {
class Log;
}

namespace dagger::store {

class Database;
class Digester;
class Index;
class Journal;
class Layout;

class Publisher {
 public:
  // All referenced things outlive the publisher.
  Publisher(const Layout& layout, Database& database, Index& index, Journal& journal, Digester& digester, Log& log)
      : layout_(layout), database_(database), index_(index), journal_(journal), digester_(digester), log_(log) {}
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Before the first layer; highest: the last number that is known to have been used. [blocking]
  void start(LayerId highest);
  // Renames what a snapshotter or an unpacking made to its place, and makes it known. [blocking]
  LayerId publish(const std::string& path, const std::string& form, LayerRow row);

 private:
  void reserve(LayerId first);
  const Layout& layout_;
  Database& database_;
  Index& index_;
  Journal& journal_;
  Digester& digester_;
  Log& log_;
  std::atomic<LayerId> next_{1};
  std::atomic<LayerId> reserved_{0};
  std::mutex reserve_mutex_;
};

}  // namespace dagger::store
