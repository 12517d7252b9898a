// core/runner/config/toml_reader.h — reading a TOML document with places and with all problems at once.
//
// toml++ stays behind this header. A Table notes every key that is asked for; what nobody asked for is an unknown key.
// Nothing here throws for a bad value: problems are collected, and the caller's default stays. One thread.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::runner {

class TomlDocument;

// A table of the document, or of nothing (an absent table answers every question with nothing).
class TomlTable {
 public:
  bool present() const noexcept;
  std::string place() const;                // "file:line:column" of the table
  std::string place(std::string_view key);  // of a key of it

  std::optional<std::string> text(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least, std::int64_t most);
  std::optional<std::vector<std::string>> texts(std::string_view key);
  TomlTable table(std::string_view key);
  // [key], [[key]], key = ["name", { ... }]: what it lists; std::nullopt where nothing is said.
  struct Entry;
  std::optional<std::vector<Entry>> entries(std::string_view key);
  std::vector<std::pair<std::string, TomlTable>> named_tables();  // every key of this table is a name
  // The table as JSON text, and where each value of it was written, by JSON pointer.
  std::optional<std::string> json(std::string_view key, std::map<std::string, std::string>& places);

  void problem(std::string_view key, const std::string& message);  // at the key's value
  void check_unknown_keys();                                       // after the last question

 private:
  friend class TomlDocument;
  struct State;
  explicit TomlTable(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

struct TomlTable::Entry {
  std::string name, place;  // name: empty for a table
  TomlTable table;
};

class TomlDocument {
 public:
  // A syntax error becomes the only problem. text absent: an empty document.
  TomlDocument(std::optional<std::string_view> text, std::string name);
  ~TomlDocument();
  TomlTable root();
  void problem_elsewhere(std::string message);  // not in the file: comes last
  std::vector<std::string> problems() const;    // "file:line:column: ...", in the order of the file

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace dagger::runner
