// core/graphql/lexer.h — a document's text as tokens. Throws RequestError ("Syntax Error: ...") with the location.
//
// Beyond the specification it takes the escapes of Go's %q in strings (\x00, \a, \v, \U0001F600, \'), which old Go
// SDKs send; no legal document changes its meaning by that.
#pragma once
#include <string>
#include <string_view>

#include "core/graphql/ast.h"
#include "core/graphql/limits.h"

namespace dagger::graphql {

struct Token {
  enum class Kind { end, punctuator, name, int_value, float_value, string, block_string };
  Kind kind = Kind::end;
  Location at;
  std::string_view text;  // as written
  std::string value;      // of a string: decoded
};

class Lexer {
 public:
  // `text` must outlive the tokens.
  Lexer(std::string_view text, const Limits& limits);
  Token next();
  // "Name "foo"", "<EOF>", ""{"": as messages name a token.
  static std::string describe(const Token& token);

 private:
  void skip_ignored();
  void number(Token& token);
  void digits();
  void string(Token& token);
  void block_string(Token& token);
  void escape(std::string& out);
  std::uint32_t hex(std::size_t begin, std::size_t count, std::size_t escape_start);
  void unicode_escape(std::string& out, std::size_t start);
  void new_line();  // pos_ stands on a line terminator
  Location location(std::size_t offset) const;
  char at(std::size_t offset) const { return offset < text_.size() ? text_[offset] : '\0'; }
  bool starts_with(std::string_view s) const { return text_.substr(pos_).starts_with(s); }
  std::string describe_character(std::size_t offset) const;
  [[noreturn]] void fail(std::size_t offset, const std::string& what) const;

  std::string_view text_;
  std::size_t max_tokens_;
  std::size_t tokens_ = 0;
  std::size_t pos_ = 0;
  std::uint32_t line_ = 1;
  // Where the current line starts, and a checkpoint within it, so that a document on one line is not scanned again for
  // each of its tokens.
  mutable std::size_t checkpoint_ = 0;
  mutable std::uint32_t checkpoint_column_ = 1;
};

}  // namespace dagger::graphql
