// core/store/blobs.h — small immutable files by digest. [thread-safe] [blocking]
#pragma once
#include <mutex>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::store {

class Index;
class Journal;
class Layout;

class Blobs {
 public:
  // All referenced things outlive the blobs.
  Blobs(const Layout& layout, Index& index, Journal& journal) : layout_(layout), index_(index), journal_(journal) {}
  Digest put(std::string_view data);
  Digest put_file(const std::string& path);
  // Throws not_found, also when the file turns out to be gone or cut: then it is forgotten.
  UniqueFd open(const Digest& digest) const;
  // Removes the file of a blob that the index does not have.
  void remove_if_unknown(const Digest& digest);

 private:
  void publish(const std::string& file, const Digest& digest, std::uint64_t size);
  const Layout& layout_;
  Index& index_;
  Journal& journal_;
  mutable std::mutex publishing_;  // a file's place and its index entry change together
};

}  // namespace dagger::store
