#include "core/dag/patterns.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/fs.h"

namespace dagger::dag {
namespace {

constexpr std::size_t max_pattern = 4000;
constexpr std::size_t max_patterns = 10'000;

// Bytes that are no UTF-8 become code points of their own, beyond Unicode, so that they match themselves.
char32_t next_letter(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  char32_t letter = length <= 1 ? first : first & (0x7fU >> length);
  bool valid = length != 0 && length <= text.size();
  for (std::size_t i = 1; valid && i < length; ++i) {
    valid = byte(i) >> 6 == 2;
    letter = letter << 6 | (byte(i) & 0x3fU);
  }
  text.remove_prefix(valid ? length : 1);
  return valid ? letter : 0x110000U + first;
}

std::u32string letters(std::string_view text) {
  std::u32string out;
  while (!text.empty()) out += next_letter(text);
  return out;
}

std::string_view trim(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

// "./a//b/" and "/a/b" -> "a/b". A relative path that climbs out keeps its "..": it matches nothing.
std::string clean_pattern(std::string_view text) {
  int depth = 0;
  for (std::string_view rest = text; !text.starts_with('/') && !rest.empty();) {
    const auto slash = rest.find('/');
    const auto part = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (part == "..") --depth;
    if (part != ".." && part != "." && !part.empty()) ++depth;
    if (depth < 0) return std::string("../");
  }
  const std::string clean = clean_path(text);
  return clean == "/" ? "." : clean.substr(1);
}

[[noreturn]] void malformed(const std::string& pattern) {
  throw Error(Code::invalid_argument, "pattern \"" + pattern + "\": syntax error in pattern");
}

// Where a pattern's next unescaped '/' or wildcards are does not matter: only whether there is any.
bool only_letters(std::u32string_view text) { return text.find_first_of(U"*?[\\") == std::u32string_view::npos; }

}  // namespace

// A set of token positions, as in the simulation of a nondeterministic automaton.
class Glob::States {
 public:
  bool test(std::size_t i) const { return (words_[i / 64] >> i % 64 & 1) != 0; }
  void set(std::size_t i) {
    words_[i / 64] |= std::uint64_t{1} << i % 64;
    used_ = std::max(used_, i / 64 + 1);
  }
  bool empty() const {
    return std::all_of(words_.begin(), words_.begin() + static_cast<std::ptrdiff_t>(used_),
                       [](auto w) { return w == 0; });
  }
  void clear() {
    std::fill_n(words_.begin(), used_, 0);
    used_ = 0;
  }
  template <class F>
  void each(F f) const {
    for (std::size_t w = 0; w < used_; ++w)
      for (std::uint64_t bits = words_[w]; bits != 0; bits &= bits - 1)
        f(w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
  }

 private:
  std::array<std::uint64_t, (2 * max_pattern) / 64 + 1> words_{};
  std::size_t used_ = 0;
};

bool Glob::Token::takes(char32_t c) const {
  switch (kind) {
    case Kind::literal:
      return c == letter;
    case Kind::any_one:
      return c != '/';
    case Kind::one_of: {
      const bool in = std::any_of(ranges.begin(), ranges.end(), [c](auto r) { return r.first <= c && c <= r.second; });
      return c != '/' && in != negated;
    }
    default:
      return false;
  }
}

Glob::Glob(std::string_view pattern) : source_(pattern), plain_(clean_pattern(pattern)) {
  if (pattern.size() > max_pattern)
    throw Error(Code::invalid_argument, "a pattern of " + std::to_string(pattern.size()) + " bytes is too long");
  parse(plain_);
}

void Glob::parse(std::string_view text) {
  const std::u32string all = letters(text);
  literal_ = only_letters(all);
  if (literal_) return;
  for (std::size_t at = 0; at < all.size();) {
    const std::u32string_view rest = std::u32string_view(all).substr(at);
    if (rest.starts_with(U"**")) {
      at += rest.starts_with(U"**/") ? 3 : 2;
      // "**x" with nothing special after it is any path that ends in x; otherwise "**" stands for whole directories.
      const bool any_start = rest.size() == all.size() && !rest.starts_with(U"**/") && only_letters(rest.substr(2));
      if (at == all.size() || any_start) {
        tokens_.push_back({Kind::all});
      } else {
        tokens_.push_back({Kind::deep});
        tokens_.push_back({Kind::deep_rest});
      }
    } else if (rest[0] == '[') {
      at = parse_class(all, at + 1);
    } else if (rest[0] == '*' || rest[0] == '?') {
      tokens_.push_back({rest[0] == '*' ? Kind::any_name : Kind::any_one});
      ++at;
    } else {
      if (rest[0] == '\\' && rest.size() == 1) malformed(source_);
      const std::size_t escaped = rest[0] == '\\' ? 1 : 0;
      tokens_.push_back({.kind = Kind::literal, .letter = rest[escaped]});
      at += 1 + escaped;
    }
  }
}

// at: behind the '['. Returns the position behind the ']'.
std::size_t Glob::parse_class(std::u32string_view text, std::size_t at) {
  Token token{Kind::one_of};
  const auto bound = [&] {
    if (at < text.size() && (text[at] == '-' || text[at] == ']')) malformed(source_);
    if (at < text.size() && text[at] == '\\') ++at;
    if (at >= text.size()) malformed(source_);
    return text[at++];
  };
  if (at < text.size() && text[at] == '^') {
    token.negated = true;
    ++at;
  }
  do {
    const char32_t low = bound();
    char32_t high = low;
    if (at < text.size() && text[at] == '-') {
      ++at;
      high = bound();
    }
    token.ranges.emplace_back(low, high);
    if (at >= text.size()) malformed(source_);
  } while (text[at] != ']');
  tokens_.push_back(std::move(token));
  return at + 1;
}

// Adds a position and those reachable from it without taking a letter.
void Glob::enter(States& states, std::size_t at) const {
  for (; !states.test(at); ++at) {
    states.set(at);
    if (at == tokens_.size()) return;
    const Kind kind = tokens_[at].kind;
    if (kind == Kind::deep) {
      states.set(at + 1);
      ++at;  // "**/" may stand for nothing: go on behind deep_rest
    } else if (kind != Kind::any_name && kind != Kind::all) {
      return;
    }
  }
}

// whole: path matches. Otherwise: some path that starts with this one may match.
bool Glob::run(std::string_view path, bool whole) const {
  States sets[2];
  States* now_set = &sets[0];
  States* next_set = &sets[1];
  enter(*now_set, 0);
  while (!path.empty() && !now_set->empty()) {
    States& next = *next_set;
    const char32_t c = next_letter(path);
    next.clear();
    now_set->each([&](std::size_t at) {
      if (at == tokens_.size()) return;
      const Token& token = tokens_[at];
      switch (token.kind) {
        case Kind::any_name:
          if (c != '/') enter(next, at);
          break;
        case Kind::all:
          enter(next, at);
          break;
        case Kind::deep:
          break;
        case Kind::deep_rest:
          next.set(at);
          if (c == '/') enter(next, at + 1);
          break;
        default:
          if (token.takes(c)) enter(next, at + 1);
      }
    });
    std::swap(now_set, next_set);
  }
  if (whole) return path.empty() && now_set->test(tokens_.size());
  bool more = false;
  now_set->each([&](std::size_t at) { more = more || at < tokens_.size(); });
  return more;
}

bool Glob::matches(std::string_view path) const { return literal_ ? path == plain_ : run(path, true); }

bool Glob::may_match_below(std::string_view dir) const {
  if (literal_) return plain_.size() > dir.size() + 1 && plain_[dir.size()] == '/' && plain_.starts_with(dir);
  return run(std::string(dir) + "/", false);
}

Patterns::Patterns(const std::vector<std::string>& include, const std::vector<std::string>& exclude)
    : include_(rules(include)), exclude_(rules(exclude)) {}

std::vector<Patterns::Rule> Patterns::rules(const std::vector<std::string>& patterns) {
  if (patterns.size() > max_patterns)
    throw Error(Code::invalid_argument, std::to_string(patterns.size()) + " patterns are too many");
  std::vector<Rule> out;
  for (const auto& written : patterns) {
    std::string_view text = trim(written);
    if (text.empty()) continue;
    const bool negated = text.front() == '!';
    if (negated) text = trim(text.substr(1));
    if (text.empty()) throw Error(Code::invalid_argument, "illegal exclusion pattern: \"!\"");
    out.push_back({Glob(text), negated});
  }
  return out;
}

Patterns::Side Patterns::judge(const std::vector<Rule>& rules, std::size_t first, std::string_view path,
                               bool is_directory, const Covered& parent, Covered& covered) {
  Side side;
  std::size_t deciding = 0;  // behind the rule that decides
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const bool covers = (!parent.empty() && parent[first + i]) || rules[i].glob.matches(path);
    covered[first + i] = covers;
    if (!covers) continue;
    side.matched = !rules[i].negated;
    deciding = i + 1;
  }
  // Rules before the deciding one cannot win below either, since that one covers everything there.
  for (std::size_t i = deciding; is_directory && !side.may_change && i < rules.size(); ++i)
    side.may_change = rules[i].negated == side.matched && rules[i].glob.may_match_below(path);
  return side;
}

Verdict Patterns::check(std::string_view path, bool is_directory, const Covered& parent, Covered* below) const {
  if (selects_all()) return Verdict::selected;
  Covered covered(include_.size() + exclude_.size());
  const Side in = judge(include_, 0, path, is_directory, parent, covered);
  const Side out = judge(exclude_, include_.size(), path, is_directory, parent, covered);
  if (below != nullptr) *below = std::move(covered);
  const bool included = include_.empty() || in.matched;
  if (included && !out.matched) return Verdict::selected;
  const bool may_be_included = included || in.may_change;
  const bool may_be_kept = !out.matched || out.may_change;
  return is_directory && may_be_included && may_be_kept ? Verdict::passing : Verdict::pruned;
}

bool Patterns::selects(std::string_view path) const {
  Covered covered;
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    Covered below;
    check(path.substr(0, slash), true, covered, &below);
    covered = std::move(below);
  }
  return check(path, false, covered) == Verdict::selected;
}

}  // namespace dagger::dag
