// What a reference of the scheme "archive" says. Pure: nothing here touches a file or a network.
//
//   archive:https://host/x.tar.gz#sha256=<64 hex digits>&strip=1
//
// Errors: invalid_argument, unsupported; each names the reference.
#pragma once
#include <dagger/plugin/source.h>

#include <string>
#include <string_view>

namespace source_archive {

struct Reference {
  std::string url;     // without the fragment
  std::string path;    // of a file: URL, decoded; else empty
  std::string sha256;  // 64 lower case hex digits, or empty: whatever is there
  int strip = 0;       // leading components of every name that are left out

  bool is_file() const { return !path.empty(); }
  // For messages: without the query, which may be a signature.
  std::string name() const;
};

// "//" in front of the URL is left out: who reaches the source through git(url:) has to write archive://https://...
Reference parse(const dagger::plugin::SourceRef& ref);

// All that shapes the tree: two references with equal digests give equal trees.
std::string pin_digest(std::string_view sha256, int strip);
// The immutable form that people see.
std::string pin_identity(const Reference& ref, std::string_view sha256);
// The checksum in a digest that pin_digest() made; empty if it made none of this kind.
std::string sha256_in(std::string_view pin_digest);

bool is_sha256(std::string_view text);

}  // namespace source_archive
