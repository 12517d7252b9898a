#include "core/store/tree/owner.h"

#include <fcntl.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/fs.h"

namespace dagger::store::tree {
namespace {

constexpr std::size_t max_file = 16 << 20;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// The third field of the line whose first is name: the id in both files.
std::optional<std::uint32_t> look_up(int root, const char* file, std::string_view name) {
  std::string text;
  try {
    text = read_all(open_in_root(root, file, O_RDONLY | O_NONBLOCK).get(), max_file);
  } catch (const Error& e) {
    if (e.code() == Code::not_found) return std::nullopt;
    throw Error(e).in(file);
  }
  for (std::string_view rest = text; !rest.empty();) {
    const auto newline = rest.find('\n');
    const auto line = rest.substr(0, newline);
    rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
    const auto first = line.find(':');
    if (first == std::string_view::npos || line.substr(0, first) != name) continue;
    const auto second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const auto third = line.find(':', second + 1);
    return number(line.substr(second + 1, third == std::string_view::npos ? third : third - second - 1));
  }
  return std::nullopt;
}

}  // namespace

Owner find_owner(int root_fd, const std::string& spec) {
  if (spec.empty()) return {};
  const auto colon = spec.find(':');
  const std::string user = spec.substr(0, colon);
  Owner owner{true, 0, 0};
  auto uid = number(user);
  if (!uid) uid = look_up(root_fd, "/etc/passwd", user);
  if (!uid) throw Error(Code::not_found, "find uid: no such user: " + user);
  owner.uid = owner.gid = *uid;
  if (colon == std::string::npos) return owner;
  const std::string group = spec.substr(colon + 1);
  auto gid = number(group);
  if (!gid) gid = look_up(root_fd, "/etc/group", group);
  if (!gid) throw Error(Code::not_found, "find gid: no such group: " + group);
  owner.gid = *gid;
  return owner;
}

}  // namespace dagger::store::tree
