#include "plugins/common/oci-registry/headers.h"

#include <charconv>

namespace dagger::oci {
namespace {

bool token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  void skip(std::string_view any) {
    while (!rest_.empty() && any.find(rest_.front()) != std::string_view::npos) rest_.remove_prefix(1);
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string token() {
    std::size_t n = 0;
    while (n < rest_.size() && token_char(rest_[n])) ++n;
    std::string out(rest_.substr(0, n));
    rest_.remove_prefix(n);
    return out;
  }
  std::string quoted() {  // after the opening quote
    std::string out;
    while (!rest_.empty() && !take('"')) {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    return out;
  }

 private:
  std::string_view rest_;
};

std::string lowered(std::string s) {
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return s;
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  constexpr std::size_t most = 16;
  std::vector<Challenge> out;
  Scanner in(header.substr(0, 16 << 10));
  in.skip(" \t,");
  while (!in.done()) {
    std::string name = in.token();
    if (name.empty()) break;
    in.skip(" \t");
    if (in.take('=') && !out.empty()) {
      in.skip(" \t");
      std::string value = in.take('"') ? in.quoted() : in.token();
      if (out.back().parameters.size() < most)
        out.back().parameters.emplace(lowered(std::move(name)), std::move(value));
    } else {
      if (out.size() == most) break;
      out.push_back({lowered(std::move(name)), {}});
    }
    in.skip(" \t,");
  }
  return out;
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<ContentRange> parse_content_range(std::string_view header) {
  constexpr std::string_view unit = "bytes ";
  if (header.substr(0, unit.size()) != unit) return std::nullopt;
  header.remove_prefix(unit.size());
  const auto dash = header.find('-'), slash = header.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = parse_number(header.substr(0, dash)),
             last = parse_number(header.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first) return std::nullopt;
  if (header.substr(slash + 1) == "*") return ContentRange{*first, *last, -1};
  const auto total = parse_number(header.substr(slash + 1));
  if (!total || *total <= *last) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view header) {
  const auto seconds = parse_number(header);
  if (!seconds || *seconds > 24 * 3600) return std::nullopt;
  return std::chrono::seconds(*seconds);
}

std::string percent_encode(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      const auto b = static_cast<unsigned char>(c);
      out.append(1, '%').append(1, digits[b >> 4]).append(1, digits[b & 15]);
    }
  }
  return out;
}

}  // namespace dagger::oci
