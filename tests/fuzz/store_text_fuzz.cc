// What is parsed without touching a file: manifests of directories, include and exclude patterns, database rows.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/fs.h"
#include "core/dag/patterns.h"
#include "core/store/manifest.h"
#include "core/store/rows.h"
#include "tests/fuzz/property.h"

namespace {

using namespace dagger;
using fuzz::check;
using fuzz::try_it;

// First line: patterns between commas; the rest: a path.
void patterns(std::string_view text) {
  const auto end = std::min(text.find('\n'), text.size());
  const std::string path = clean_path(text.substr(std::min(end + 1, text.size()))).substr(1);
  std::vector<std::string> list;
  for (std::string_view rest = text.substr(0, end); !rest.empty();) {
    const auto comma = rest.find(',');
    list.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  const dag::Patterns include(list, {});
  (void)dag::Patterns({}, list).selects(path);
  const bool in = include.selects(path);
  // A directory that is pruned has nothing selected below it.
  if (const auto slash = path.rfind('/'); in && slash != std::string::npos && slash != 0) {
    dag::Patterns::Covered covered;
    for (auto at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
      dag::Patterns::Covered below;
      check(include.check(path.substr(0, at), true, covered, &below) != dag::Verdict::pruned);
      covered = std::move(below);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      try_it([&] { patterns(text); });
      break;
    case 1:
      try_it([&] { check(store::encode(store::decode_node(text)) == text); });
      break;
    case 2:
      try_it([&] { check(store::encode(store::decode_record(text)) == text); });
      break;
    default:
      try_it([&] { check(store::encode(store::decode_layer(text)) == text); });
  }
  return 0;
}
