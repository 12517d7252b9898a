#include "reference.h"

#include <algorithm>
#include <charconv>

#include "errors.h"

namespace source_archive {
namespace {

using dagger::Code;
using dagger::Error;

constexpr std::size_t max_length = 4096;
constexpr int max_strip = 64;
constexpr std::string_view digest_prefix = "archive:";
constexpr std::string_view form = "write it like archive:https://host/x.tar.gz#sha256=<64 hex digits>&strip=1";

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

[[noreturn]] void refuse(std::string_view location, const std::string& why) {
  throw Error(Code::invalid_argument, "archive:" + shown(location.substr(0, location.find('?'))) + ": " + why);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view location, std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || high + low == 0) refuse(location, "'%' needs two hex digits, and not 00, behind it");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string checksum(std::string_view location, std::string_view value) {
  std::string text(value);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (!is_sha256(text)) refuse(location, "sha256 must have 64 hex digits");
  return text;
}

int strip_count(std::string_view location, std::string_view value) {
  int count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size() || count < 0 || count > max_strip)
    refuse(location, "strip must be a number from 0 to " + std::to_string(max_strip));
  return count;
}

void parse_fragment(Reference& ref, std::string_view location, std::string_view fragment) {
  bool has_strip = false;
  while (!fragment.empty()) {
    const auto end = std::min(fragment.find('&'), fragment.size());
    const auto item = fragment.substr(0, end);
    fragment.remove_prefix(std::min(end + 1, fragment.size()));
    const auto equals = std::min(item.find('='), item.size());
    const auto key = item.substr(0, equals);
    const auto value = item.substr(std::min(equals + 1, item.size()));
    if (key == "sha256" && ref.sha256.empty()) {
      ref.sha256 = checksum(location, value);
    } else if (key == "strip" && !has_strip) {
      ref.strip = strip_count(location, value);
      has_strip = true;
    } else {
      refuse(location, "\"" + shown(item) + "\" behind '#' is unknown or said twice; known are sha256 and strip");
    }
  }
}

void check_http(std::string_view location, std::string_view url) {
  auto authority = url.substr(url.find("//") + 2);
  authority = authority.substr(0, authority.find_first_of("/?"));
  if (authority.empty()) refuse(location, "it names no host; " + std::string(form));
  if (authority.find('@') != std::string_view::npos)
    throw Error(Code::invalid_argument, "archive: a URL must not contain a user or a password: it is shown to people");
}

void parse_file(Reference& ref, std::string_view location) {
  constexpr std::string_view scheme = "file://";
  ref.path = decoded(location, std::string_view(ref.url).substr(scheme.size()));
  if (ref.path.size() < 2 || ref.path[0] != '/')
    refuse(location, "a file is written like archive:file:///dir/x.tar.gz");
  if ((ref.path + "/").find("/../") != std::string::npos) refuse(location, "write the file's path without \"..\"");
}

// The engine hands on what the API was told. A checksum counts; git's words have no meaning for an archive.
void take_attributes(Reference& ref, const dagger::plugin::SourceRef& source, std::string_view location) {
  for (const auto& [key, value] : source.attributes) {
    if (key == "checksum") {
      constexpr std::string_view prefix = "sha256:";
      const auto said = checksum(location, starts_with(value, prefix) ? std::string_view(value).substr(prefix.size())
                                                                      : std::string_view(value));
      if (!ref.sha256.empty() && ref.sha256 != said)
        refuse(location, "the checksum behind '#' and the one beside the URL differ; leave one out");
      ref.sha256 = said;
    } else if (key != "ref" && key != "kind" && key != "keep_git_dir") {
      throw Error(Code::unsupported, ref.name() + ": an archive has no \"" + shown(key) + "\"");
    }
  }
}

}  // namespace

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string Reference::name() const { return "archive:" + url.substr(0, url.find('?')); }

Reference parse(const dagger::plugin::SourceRef& source) {
  if (source.scheme != "archive")
    throw Error(Code::unsupported, "scheme '" + source.scheme + "' is not served by the archive source");
  std::string_view location = source.location;
  if (starts_with(location, "//")) location.remove_prefix(2);
  if (location.size() > max_length)
    refuse(location.substr(0, 100), "it is longer than " + std::to_string(max_length) + " bytes");
  for (const char c : location)
    if (static_cast<unsigned char>(c) <= ' ' || c == 127)
      refuse(location, "write blanks and control characters as %20");

  Reference ref;
  const auto hash = std::min(location.find('#'), location.size());
  ref.url = location.substr(0, hash);
  parse_fragment(ref, location, location.substr(std::min(hash + 1, location.size())));
  take_attributes(ref, source, location);
  if (starts_with(ref.url, "https://") || starts_with(ref.url, "http://"))
    check_http(location, ref.url);
  else if (starts_with(ref.url, "file://"))
    parse_file(ref, location);
  else
    refuse(location, "it is no http, https or file URL; " + std::string(form));
  return ref;
}

std::string pin_digest(std::string_view sha256, int strip) {
  std::string digest = std::string(digest_prefix) + std::string(sha256);
  if (strip > 0) digest += "+strip=" + std::to_string(strip);
  return digest;
}

std::string pin_identity(const Reference& ref, std::string_view sha256) {
  std::string text = "archive:" + ref.url + "#sha256=" + std::string(sha256);
  if (ref.strip > 0) text += "&strip=" + std::to_string(ref.strip);
  return text;
}

std::string sha256_in(std::string_view digest) {
  if (!starts_with(digest, digest_prefix)) return {};
  const auto hex = digest.substr(digest_prefix.size(), 64);
  return is_sha256(hex) ? std::string(hex) : std::string();
}

}  // namespace source_archive
