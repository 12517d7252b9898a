#include "core/store/manifest.h"

#include "core/base/cbor_fields.h"

namespace dagger::store {
namespace {

constexpr std::size_t max_node = 256 << 20;
constexpr std::size_t max_name = 255, max_target = 4095, max_xattrs = 1000, max_xattr = 64 << 10;

[[noreturn]] void malformed(const char* what) {
  throw Error(Code::corrupt_data, std::string("a directory manifest is malformed: ") + what);
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= max_name && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

void check_xattrs(const Entry& e) {
  if (e.xattrs.size() > max_xattrs) malformed("an entry has too many extended attributes");
  for (std::size_t i = 0; i < e.xattrs.size(); ++i) {
    const auto& [name, value] = e.xattrs[i];
    if (name.empty() || name.size() > max_name || name.find('\0') != std::string::npos || value.size() > max_xattr)
      malformed("an extended attribute");
    if (i != 0 && e.xattrs[i - 1].first >= name) malformed("extended attributes are not sorted");
  }
}

void check(const Entry& e) {
  if (!valid_name(e.name)) malformed("a name is no file name");
  if (e.mode > 07777) malformed("a mode is out of range");
  const bool has_content = e.type == EntryType::file || e.type == EntryType::directory;
  if (has_content == e.content.zero()) malformed("a content digest is missing, or there for no reason");
  if (e.size != 0 && e.type != EntryType::file) malformed("only files have a size");
  if ((e.type == EntryType::symlink) == e.target.empty()) malformed("a link target is missing, or there for no reason");
  if (e.target.size() > max_target || e.target.find('\0') != std::string::npos) malformed("a link target");
  check_xattrs(e);
}

}  // namespace

// Names and targets are bytes, not text.
template <class A>
void fields(A& a, Entry& e) {
  a.begin(10), a.blob(e.name), a.enumeration(e.type, EntryType::fifo), a.field(e.mode), a.field(e.uid), a.field(e.gid);
  a.field(e.mtime_ns), a.field(e.size), a.field(e.content), a.blob(e.target), a.field(e.xattrs);
}
template <class A>
void fields(A& a, Node& n) {
  a.begin(1), a.list(n.entries);
}

std::string encode(const Node& node) { return cbor::pack(node); }

Node decode_node(std::string_view encoded) {
  if (encoded.size() > max_node) malformed("it is too large");
  auto node = cbor::unpack<Node>(encoded);
  for (std::size_t i = 0; i < node.entries.size(); ++i) {
    check(node.entries[i]);
    if (i != 0 && node.entries[i - 1].name >= node.entries[i].name) malformed("names are not sorted");
  }
  return node;
}

Digest exact_digest(const Node& node) { return Digest::of(encode(node)); }

}  // namespace dagger::store
