// core/store/unpack/tar_reader.h — the entries of a tar stream: v7, ustar, PAX, GNU long names and sparse files of all
// four kinds. It knows nothing of layers or of file systems. Errors: corrupt_data. One thread.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/tree/tar_entry.h"

namespace dagger::store {

class TarReader {
 public:
  // read(max): 1 to max bytes, empty only at the end of the stream.
  using Source = std::function<std::string_view(std::size_t max)>;
  explicit TarReader(Source source) : source_(std::move(source)) {}

  // False at the end of the archive. What was not read of the last entry's data is skipped.
  bool next(TarEntry& entry);
  // The stored bytes of the entry, a piece at a time; empty at their end.
  std::string_view data(std::size_t max = SIZE_MAX);

 private:
  struct Extended;
  bool block(std::string& out);
  std::string_view need(std::size_t max);
  std::string long_text(std::uint64_t size, const char* what);
  void skip_data();
  void finish(TarEntry& entry, Extended& extended);
  void gnu_sparse_map(const std::string& header, TarEntry& entry);
  void stored_sparse_map(TarEntry& entry);

  Source source_;
  std::uint64_t left_ = 0;     // of the entry's data
  std::uint64_t padding_ = 0;  // behind it
};

}  // namespace dagger::store
