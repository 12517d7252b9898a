// core/store/values.h — named values, in the database or on their way there. [thread-safe]
#pragma once
#include <optional>
#include <string>

namespace dagger::store {

class Database;
class Journal;

class Values {
 public:
  Values(Database& database, Journal& journal) : database_(database), journal_(journal) {}  // both outlive this
  void put(const std::string& table, const std::string& key, std::string value);
  // [blocking] on a cold key
  std::optional<std::string> get(const std::string& table, const std::string& key);
  // Removes those of some tables that nobody has asked for for a week. [blocking]
  void expire();

 private:
  Database& database_;
  Journal& journal_;
};

}  // namespace dagger::store
