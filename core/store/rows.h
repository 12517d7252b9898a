// core/store/rows.h — what the store keeps in its database, as values, and how records and layers are encoded there.
// Pure.
#pragma once
#include <string>
#include <variant>
#include <vector>

#include "core/store/store.h"

namespace dagger::store {

struct PutLayer {
  LayerId id;
  std::string data;
};
struct DropLayer {
  LayerId id;
};
struct PutRecord {
  Digest key;
  std::string data;
};
struct DropRecord {
  Digest key;
};
struct PutKey {
  Digest extra, key;
};
struct DropKey {
  Digest extra;
};
struct PutBlob {
  Digest digest;
  std::uint64_t size;
};
struct DropBlob {
  Digest digest;
};
struct PutValue {
  std::string table, key, value;
};
struct DropValue {
  std::string table, key;
};
struct TouchValue {
  std::string table, key;
};

using Change = std::variant<PutLayer, DropLayer, PutRecord, DropRecord, PutKey, DropKey, PutBlob, DropBlob, PutValue,
                            DropValue, TouchValue>;

// A layer as the store knows it. Its places are names of forms below its own directory.
struct LayerRow {
  std::vector<std::string> forms;
  std::uint64_t bytes = 0, entries = 0;
  Digest content, exact;  // zero: not known
  std::string diff_id;
  bool opaque_root = false;  // hides all layers below it
};

// The form of the layer that can be read as a directory; empty if it has none.
std::string directory_form(const LayerRow& row);

std::string encode(const LayerRow& row);
std::string encode(const Record& record);
LayerRow decode_layer(std::string_view data);  // throw corrupt_data
Record decode_record(std::string_view data);

}  // namespace dagger::store
