// core/dag/patterns.h — which paths of a tree include and exclude lists select, with the rules of .dockerignore. Pure.
//
// Patterns are anchored at the root of the tree; `*` and `?` never cross a '/', `**` does; `[a-z]`, `[^a]` and `\x` as
// in Go's filepath.Match. A pattern that matches a directory covers all below it. In a list the last pattern that
// covers a path decides; a leading '!' reverses. Matching takes time linear in pattern and path. Paths are relative to
// the root: "a/b", no leading '/'. Errors: invalid_argument for a malformed pattern, or too many or too long ones.
// [thread-safe]
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dagger::dag {

// One pattern without '!'. Matches whole paths only, not what lies below.
class Glob {
 public:
  explicit Glob(std::string_view pattern);
  bool matches(std::string_view path) const;
  // Whether some path below this directory could match.
  bool may_match_below(std::string_view dir) const;

 private:
  enum class Kind : std::uint8_t { literal, any_one, one_of, any_name, deep, deep_rest, all };
  struct Token {
    Kind kind;
    bool negated = false;                                    // one_of
    char32_t letter = 0;                                     // literal
    std::vector<std::pair<char32_t, char32_t>> ranges = {};  // one_of
    bool takes(char32_t c) const;
  };
  class States;
  void parse(std::string_view text);
  std::size_t parse_class(std::u32string_view text, std::size_t at);
  void enter(States& states, std::size_t at) const;
  bool run(std::string_view path, bool whole) const;

  std::string source_;   // as written, for errors
  bool literal_ = true;  // then plain_ is compared
  std::string plain_;
  std::vector<Token> tokens_;
};

// A path's fate in a walk from the root.
enum class Verdict : std::uint8_t {
  selected,  // it is; what is below still has to be asked
  passing,   // a directory that is made only if something below is selected
  pruned,    // neither it nor anything below
};

class Patterns {
 public:
  Patterns() = default;  // selects everything
  // No include pattern: everything is included. Exclude wins over include.
  Patterns(const std::vector<std::string>& include, const std::vector<std::string>& exclude);

  bool selects_all() const noexcept { return include_.empty() && exclude_.empty(); }

  // What a walk carries down: which patterns cover the directory it is in. Empty for the root.
  using Covered = std::vector<bool>;
  // below (may be null) receives what to hand on for the entries of path, if it is a directory.
  Verdict check(std::string_view path, bool is_directory, const Covered& parent, Covered* below = nullptr) const;

  // The same for a single path, without a walk.
  bool selects(std::string_view path) const;

 private:
  struct Rule {
    Glob glob;
    bool negated;
  };
  struct Side {
    bool matched = false;     // by the last rule that covers the path
    bool may_change = false;  // something below may come out otherwise
  };
  static std::vector<Rule> rules(const std::vector<std::string>& patterns);
  static Side judge(const std::vector<Rule>& rules, std::size_t first, std::string_view path, bool is_directory,
                    const Covered& parent, Covered& covered);
  std::vector<Rule> include_, exclude_;
};

}  // namespace dagger::dag
