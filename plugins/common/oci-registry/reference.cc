#include "plugins/common/oci-registry/reference.h"

#include <arpa/inet.h>

#include <algorithm>

#include "dagger/plugin/error.h"

namespace dagger::oci {
namespace {

constexpr std::size_t max_repository = 255;
constexpr std::size_t max_tag = 128;

bool digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
bool upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
bool alnum(char c) noexcept { return digit(c) || lower(c) || upper(c); }
bool hex(char c) noexcept { return digit(c) || (c >= 'a' && c <= 'f'); }
template <class F>
bool all(std::string_view text, F f) noexcept {
  return std::all_of(text.begin(), text.end(), f);
}

// Letters and digits, with '-' inside only.
bool is_domain_label(std::string_view s) noexcept {
  return !s.empty() && s.front() != '-' && s.back() != '-' && all(s, [](char c) { return alnum(c) || c == '-'; });
}

bool is_host_name(std::string_view s) noexcept {
  while (true) {
    const auto dot = s.find('.');
    if (!is_domain_label(s.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

struct HostPort {
  std::string_view host, port;
  bool has_port = false;
};

HostPort split_port(std::string_view s) noexcept {
  if (!s.empty() && s.front() == '[') {
    const auto end = s.find(']');
    if (end == std::string_view::npos) return {s, {}, false};
    if (end + 1 < s.size() && s[end + 1] == ':') return {s.substr(0, end + 1), s.substr(end + 2), true};
    return {s, {}, false};
  }
  const auto colon = s.find(':');
  if (colon == std::string_view::npos) return {s, {}, false};
  return {s.substr(0, colon), s.substr(colon + 1), true};
}

// Letters and digits joined by '.', one or two '_', or any number of '-'.
bool is_path_component(std::string_view s) noexcept {
  std::size_t i = 0;
  while (i < s.size()) {
    const std::size_t word = i;
    while (i < s.size() && (lower(s[i]) || digit(s[i]))) ++i;
    if (i == word) return false;
    if (i == s.size()) return true;
    const std::size_t join = i;
    while (i < s.size() && s[i] == s[join] && (s[i] == '.' || s[i] == '_' || s[i] == '-')) ++i;
    const std::size_t length = i - join;
    if (length == 0 || (s[join] == '.' && length > 1) || (s[join] == '_' && length > 2)) return false;
  }
  return false;
}

bool is_tag(std::string_view s) noexcept {
  if (s.empty() || s.size() > max_tag || s.front() == '.' || s.front() == '-') return false;
  return all(s, [](char c) { return alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_digest(std::string_view s) noexcept {
  const auto colon = s.find(':');
  if (colon == std::string_view::npos) return false;
  const auto algorithm = s.substr(0, colon), value = s.substr(colon + 1);
  const std::size_t wanted = algorithm == "sha256" ? 64 : algorithm == "sha384" ? 96 : algorithm == "sha512" ? 128 : 0;
  return wanted != 0 && value.size() == wanted && all(value, hex);
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 300)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return text.size() > 300 ? out + "..." : out;
}

// The first part is a registry where it cannot be a part of a name on docker.io.
bool names_a_registry(std::string_view first) noexcept {
  return first == "localhost" ||
         std::any_of(first.begin(), first.end(), [](char c) { return c == '.' || c == ':' || c == '[' || upper(c); });
}

}  // namespace

bool is_repository(std::string_view s) noexcept {
  while (true) {
    const auto slash = s.find('/');
    if (!is_path_component(s.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    s.remove_prefix(slash + 1);
  }
}

bool is_domain(std::string_view text) noexcept {
  const auto [host, port, has_port] = split_port(text);
  if (has_port && (port.empty() || port.size() > 5 || !all(port, digit))) return false;
  if (!host.empty() && host.front() == '[') {
    in6_addr address{};
    const std::string inner(host.substr(1, host.size() < 2 ? 0 : host.size() - 2));
    return host.back() == ']' && ::inet_pton(AF_INET6, inner.c_str(), &address) == 1;
  }
  return is_host_name(host);
}

bool is_loopback(std::string_view host_and_port) noexcept {
  const auto host = split_port(host_and_port).host;
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address{};
  char copy[INET_ADDRSTRLEN] = {};
  if (host.size() >= sizeof copy) return false;
  std::copy(host.begin(), host.end(), copy);
  return ::inet_pton(AF_INET, copy, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

std::string canonical_domain(std::string_view domain) {
  if (domain == "index.docker.io" || domain == "registry-1.docker.io") return "docker.io";
  return std::string(domain);
}

std::string Reference::str() const {
  return name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

Reference parse_reference(std::string_view text) {
  const auto refuse = [&](std::string_view why) -> Error {
    return Error(Code::invalid_argument, "invalid image reference \"" + shown(text) + "\": " + std::string(why));
  };
  constexpr const char* format =
      "invalid reference format; write [registry[:port]/]name[:tag][@digest] with a name in lower case";
  if (text.empty()) throw refuse("it is empty; write [registry[:port]/]name[:tag][@digest]");
  if (text.size() > 1024) throw refuse("it is too long");
  if (text.size() == 64 && all(text, hex)) throw refuse("cannot specify 64-byte hexadecimal strings as a name");

  Reference r;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    r.digest = rest.substr(at + 1);
    if (!is_digest(r.digest)) throw refuse("invalid digest; write @sha256: and 64 lower-case hexadecimal digits");
    rest = rest.substr(0, at);
  }
  const auto slash = rest.find('/');
  if (slash != std::string_view::npos && names_a_registry(rest.substr(0, slash))) {
    r.domain = canonical_domain(rest.substr(0, slash));
    rest.remove_prefix(slash + 1);
    if (!is_domain(r.domain)) throw refuse(format);
  } else {
    r.domain = "docker.io";
  }
  if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
    r.tag = rest.substr(colon + 1);
    if (!is_tag(r.tag)) throw refuse(r.tag.size() > max_tag ? "the tag is longer than 128 characters" : format);
    rest = rest.substr(0, colon);
  }
  r.repository = rest;
  if (std::any_of(rest.begin(), rest.end(), upper)) throw refuse("repository name must be lowercase");
  if (!is_repository(r.repository)) throw refuse(format);
  if (r.domain == "docker.io" && r.repository.find('/') == std::string::npos) r.repository = "library/" + r.repository;
  if (r.repository.size() > max_repository) throw refuse("repository name must not be more than 255 characters");
  if (r.tag.empty() && r.digest.empty()) r.tag = "latest";
  return r;
}

}  // namespace dagger::oci
