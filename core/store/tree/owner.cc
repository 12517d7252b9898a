#include "core/store/tree/owner.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/fs.h"

namespace dagger::store::tree {
namespace {

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The third field of the line whose first field is name, as /etc/passwd and /etc/group both have it.
std::optional<std::uint32_t> look_up(int root, const char* path, std::string_view name) {
  std::string text;
  try {
    const auto fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return std::nullopt;
    text = read_all(fd.get(), 16 << 20);
  } catch (const Error& e) {
    if (e.code() != Code::not_found) throw;
    return std::nullopt;
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ':') continue;
    line.remove_prefix(name.size() + 1);
    const auto second = line.find(':');
    if (second == std::string_view::npos) continue;
    line.remove_prefix(second + 1);
    if (const auto id = number(line.substr(0, line.find(':')))) return id;
  }
  return std::nullopt;
}

}  // namespace

Owner find_owner(int root, const std::string& text) {
  if (text.empty()) return {};
  const auto colon = text.find(':');
  const std::string user = text.substr(0, colon);
  Owner out;
  auto uid = number(user);
  if (!uid) uid = look_up(root, "/etc/passwd", user);
  if (!uid) throw Error(Code::invalid_argument, "find uid: no such user: " + user);
  out.uid = out.gid = *uid;
  if (colon == std::string::npos) return out;
  const std::string group = text.substr(colon + 1);
  auto gid = number(group);
  if (!gid) gid = look_up(root, "/etc/group", group);
  if (!gid) throw Error(Code::invalid_argument, "find gid: no such group: " + group);
  out.gid = *gid;
  return out;
}

}  // namespace dagger::store::tree
