#include "plugins/common/oci-runtime/users.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "plugins/common/sys/sys.h"

namespace dagger::oci {
namespace {

constexpr std::size_t max_file = 8 << 20;
constexpr std::size_t max_groups = 1024;  // far below the kernel's 65536, far above any image's

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || value > 0x7fffffff)
    return std::nullopt;
  return value;
}

// Takes what is before the first separator off text.
std::string_view take(std::string_view& text, char separator) {
  const auto at = std::min(text.find(separator), text.size());
  const auto head = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return head;
}

struct Entry {  // passwd: name:x:id:gid:gecos:home:shell; group: name:x:id:members
  std::string_view name;
  std::uint32_t id = 0;
  std::string_view rest;
};

// Calls visit(entry) for each well-formed line until it returns true.
template <class Visit>
void each_entry(std::string_view file, Visit visit) {
  while (!file.empty()) {
    auto line = take(file, '\n');
    if (line.empty() || line.front() == '#') continue;
    Entry e;
    e.name = take(line, ':');
    take(line, ':');
    const auto id = number(take(line, ':'));
    if (!id || e.name.empty()) continue;
    e.id = *id;
    e.rest = line;
    if (visit(e)) return;
  }
}

// The first entry with this name, or else (a number that is nobody's name) with this id.
std::optional<Entry> find(std::string_view file, std::string_view name_or_id) {
  std::optional<Entry> by_name, by_id;
  const auto id = number(name_or_id);
  each_entry(file, [&](const Entry& e) {
    if (e.name == name_or_id) by_name = e;
    if (id && e.id == *id && !by_id) by_id = e;
    return by_name.has_value();
  });
  return by_name ? by_name : by_id;
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty())
    if (take(members, ',') == name) return true;
  return false;
}

std::string read_in_root(int root, const char* path) {
  const auto fd = sys::try_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  try {
    return sys::read_all(fd.get(), max_file);
  } catch (const Error& e) {
    throw Error(e).in(std::string(path) + " of the root filesystem");
  }
}

}  // namespace

User resolve_user(std::string_view passwd, std::string_view group, std::string_view spec) {
  std::string_view rest = spec;
  const bool explicit_group = spec.find(':') != std::string_view::npos;
  std::string_view who = take(rest, ':');
  if (who.empty()) who = "0";
  User user;
  const auto entry = find(passwd, who);
  if (entry) {
    user.uid = entry->id;
    auto fields = entry->rest;
    user.gid = number(take(fields, ':')).value_or(0);
    take(fields, ':');
    if (const auto home = take(fields, ':'); !home.empty()) user.home = home;
  } else if (const auto uid = number(who)) {
    user.uid = *uid;
  } else {
    throw Error(Code::invalid_argument, "no such user: " + std::string(who) +
                                            " (not in /etc/passwd of the root filesystem; a number needs no entry)");
  }
  if (user.uid == 0 && !entry) user.home = "/root";
  if (explicit_group && !rest.empty()) {
    if (const auto g = find(group, rest))
      user.gid = g->id;
    else if (const auto gid = number(rest))
      user.gid = *gid;
    else
      throw Error(Code::invalid_argument, "no such group: " + std::string(rest) +
                                              " (not in /etc/group of the root filesystem; a number needs no entry)");
  } else if (entry) {
    each_entry(group, [&](const Entry& e) {
      if (lists(e.rest, entry->name)) user.groups.push_back(e.id);
      return user.groups.size() == max_groups;
    });
  }
  // A file that its group may read less of than others is kept from the primary group only if that is in the list.
  if (std::find(user.groups.begin(), user.groups.end(), user.gid) == user.groups.end())
    user.groups.insert(user.groups.begin(), user.gid);
  return user;
}

User resolve_user(int root_fd, std::string_view spec) {
  return resolve_user(read_in_root(root_fd, "/etc/passwd"), read_in_root(root_fd, "/etc/group"), spec);
}

}  // namespace dagger::oci
