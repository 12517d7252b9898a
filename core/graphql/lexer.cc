#include "core/graphql/lexer.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/graphql/error.h"
#include "core/graphql/utf8.h"

namespace dagger::graphql {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_line_end(char c) { return c == '\n' || c == '\r'; }

// The specification's BlockStringValue(): common indentation and blank lines at both ends do not count.
std::string dedent(std::string_view raw) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0;;) {
    const std::size_t end = raw.find_first_of("\r\n", begin);
    lines.push_back(raw.substr(begin, end == std::string_view::npos ? end : end - begin));
    if (end == std::string_view::npos) break;
    begin = end + (raw.substr(end).starts_with("\r\n") ? 2 : 1);
  }
  const auto blank = [](std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; };
  std::size_t common = std::string_view::npos;
  for (std::size_t i = 1; i < lines.size(); ++i) common = std::min(common, lines[i].find_first_not_of(" \t"));
  if (common != std::string_view::npos)
    for (std::size_t i = 1; i < lines.size(); ++i) lines[i].remove_prefix(std::min(common, lines[i].size()));
  std::size_t first = 0;
  std::size_t last = lines.size();
  while (first < last && blank(lines[first])) ++first;
  while (last > first && blank(lines[last - 1])) --last;
  std::string out;
  for (std::size_t i = first; i < last; ++i) {
    if (i != first) out += '\n';
    out += lines[i];
  }
  return out;
}

}  // namespace

Lexer::Lexer(std::string_view text, const Limits& limits) : text_(text), max_tokens_(limits.tokens) {
  if (text_.size() > limits.document_bytes)
    fail(0, "Document contains more than " + std::to_string(limits.document_bytes) + " bytes. Parsing aborted.");
  if (text_.starts_with("\xEF\xBB\xBF")) checkpoint_ = pos_ = 3;
}

Location Lexer::location(std::size_t offset) const {
  for (; checkpoint_ < offset && checkpoint_ < text_.size(); ++checkpoint_) {
    const auto c = static_cast<unsigned char>(text_[checkpoint_]);
    if ((c & 0xC0) != 0x80) checkpoint_column_ += c >= 0xF0 ? 2 : 1;  // beyond U+FFFF: a surrogate pair
  }
  return {line_, checkpoint_column_};
}

void Lexer::fail(std::size_t offset, const std::string& what) const {
  throw RequestError({{.message = "Syntax Error: " + what, .locations = {location(offset)}}});
}

std::string Lexer::describe_character(std::size_t offset) const {
  if (offset >= text_.size()) return "<EOF>";
  const auto c = static_cast<unsigned char>(text_[offset]);
  if (c == '"') return "'\"'";
  if (c >= 0x20 && c < 0x7f) return "\"" + std::string(1, static_cast<char>(c)) + "\"";
  std::uint32_t code_point = c;
  if (const std::size_t length = utf8_length(text_.substr(offset)); length > 1) {
    code_point = c & (0xFFu >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) code_point = code_point << 6 | (text_[offset + i] & 0x3Fu);
  }
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "U+%04X", static_cast<unsigned>(code_point));
  return buffer;
}

std::string Lexer::describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::end:
      return "<EOF>";
    case Token::Kind::punctuator:
      return "\"" + std::string(token.text) + "\"";
    case Token::Kind::name:
      return "Name \"" + std::string(token.text) + "\"";
    case Token::Kind::int_value:
      return "Int \"" + std::string(token.text) + "\"";
    case Token::Kind::float_value:
      return "Float \"" + std::string(token.text) + "\"";
    case Token::Kind::string:
      return "String \"" + token.value + "\"";
    case Token::Kind::block_string:
      return "BlockString \"" + token.value + "\"";
  }
  return "";
}

void Lexer::new_line() {
  pos_ += starts_with("\r\n") ? 2 : 1;
  ++line_;
  checkpoint_ = pos_;
  checkpoint_column_ = 1;
}

void Lexer::skip_ignored() {
  while (pos_ < text_.size()) {
    const char c = text_[pos_];
    if (is_line_end(c)) {
      new_line();
    } else if (c == ' ' || c == '\t' || c == ',') {
      ++pos_;
    } else if (starts_with("\xEF\xBB\xBF")) {
      pos_ += 3;
    } else if (c == '#') {
      while (pos_ < text_.size() && !is_line_end(text_[pos_])) ++pos_;
    } else {
      return;
    }
  }
}

Token Lexer::next() {
  skip_ignored();
  Token token;
  token.at = location(pos_);
  if (pos_ >= text_.size()) return token;
  if (++tokens_ > max_tokens_)
    fail(pos_, "Document contains more than " + std::to_string(max_tokens_) + " tokens. Parsing aborted.");
  const std::size_t start = pos_;
  const char c = text_[pos_];
  if (is_name_start(c)) {
    token.kind = Token::Kind::name;
    while (is_name_start(at(pos_)) || is_digit(at(pos_))) ++pos_;
  } else if (is_digit(c) || c == '-') {
    number(token);
  } else if (starts_with("\"\"\"")) {
    block_string(token);
  } else if (c == '"') {
    string(token);
  } else if (starts_with("...")) {
    token.kind = Token::Kind::punctuator;
    pos_ += 3;
  } else if (std::string_view("!$&()[]{}:=@|").find(c) != std::string_view::npos) {
    token.kind = Token::Kind::punctuator;
    ++pos_;
  } else if (c == '\'') {
    fail(pos_, "Unexpected single quote character ('), did you mean to use a double quote (\")?");
  } else {
    const bool text = utf8_length(text_.substr(pos_)) > 0;
    fail(pos_, (text ? "Unexpected character: " : "Invalid character: ") + describe_character(pos_) + ".");
  }
  token.text = text_.substr(start, pos_ - start);
  return token;
}

void Lexer::digits() {
  if (!is_digit(at(pos_))) fail(pos_, "Invalid number, expected digit but got: " + describe_character(pos_) + ".");
  while (is_digit(at(pos_))) ++pos_;
}

void Lexer::number(Token& token) {
  token.kind = Token::Kind::int_value;
  if (at(pos_) == '-') ++pos_;
  if (at(pos_) == '0') {
    ++pos_;
    if (is_digit(at(pos_))) fail(pos_, "Invalid number, unexpected digit after 0: " + describe_character(pos_) + ".");
  } else {
    digits();
  }
  if (at(pos_) == '.') {
    token.kind = Token::Kind::float_value;
    ++pos_;
    digits();
  }
  if (at(pos_) == 'e' || at(pos_) == 'E') {
    token.kind = Token::Kind::float_value;
    ++pos_;
    if (at(pos_) == '+' || at(pos_) == '-') ++pos_;
    digits();
  }
  if (at(pos_) == '.' || is_name_start(at(pos_)))
    fail(pos_, "Invalid number, expected digit but got: " + describe_character(pos_) + ".");
}

void Lexer::string(Token& token) {
  token.kind = Token::Kind::string;
  ++pos_;
  for (;;) {
    const char c = at(pos_);
    if (pos_ >= text_.size() || is_line_end(c)) fail(pos_, "Unterminated string.");
    if (c == '"') break;
    if (c == '\\') {
      escape(token.value);
      continue;
    }
    const std::size_t length = utf8_length(text_.substr(pos_));
    if (length == 0) fail(pos_, "Invalid character within String: " + describe_character(pos_) + ".");
    token.value += text_.substr(pos_, length);
    pos_ += length;
  }
  ++pos_;
}

void Lexer::block_string(Token& token) {
  token.kind = Token::Kind::block_string;
  pos_ += 3;
  std::string raw;
  while (!starts_with("\"\"\"")) {
    if (pos_ >= text_.size()) fail(pos_, "Unterminated string.");
    if (starts_with("\\\"\"\"")) {
      raw += "\"\"\"";
      pos_ += 4;
      continue;
    }
    if (is_line_end(text_[pos_])) {
      new_line();
      raw += '\n';
      continue;
    }
    const std::size_t length = utf8_length(text_.substr(pos_));
    if (length == 0) fail(pos_, "Invalid character within String: " + describe_character(pos_) + ".");
    raw += text_.substr(pos_, length);
    pos_ += length;
  }
  pos_ += 3;
  token.value = dedent(raw);
}

std::uint32_t Lexer::hex(std::size_t begin, std::size_t count, std::size_t escape_start) {
  std::uint32_t value = 0;
  for (std::size_t i = begin; i < begin + count; ++i) {
    const char c = at(i);
    const int digit = is_digit(c)              ? c - '0'
                      : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                      : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                               : -1;
    if (digit < 0)
      fail(escape_start, "Invalid Unicode escape sequence: \"" +
                             std::string(text_.substr(escape_start, begin + count - escape_start)) + "\".");
    value = value << 4 | static_cast<std::uint32_t>(digit);
  }
  return value;
}

void Lexer::unicode_escape(std::string& out, std::size_t start) {
  const auto is_lead = [](std::uint32_t v) { return v >= 0xD800 && v <= 0xDBFF; };
  const auto is_trail = [](std::uint32_t v) { return v >= 0xDC00 && v <= 0xDFFF; };
  std::uint32_t value = 0;
  if (at(start + 1) == 'U') {
    value = hex(start + 2, 8, start);
    pos_ = start + 10;
  } else if (at(start + 2) == '{') {
    std::size_t end = start + 3;
    while (end < start + 12 && at(end) != '}' && end < text_.size()) ++end;
    if (at(end) != '}' || end == start + 3)
      fail(start, "Invalid Unicode escape sequence: \"" + std::string(text_.substr(start, end - start + 1)) + "\".");
    value = hex(start + 3, end - start - 3, start);
    pos_ = end + 1;
  } else {
    value = hex(start + 2, 4, start);
    pos_ = start + 6;
    if (is_lead(value) && at(pos_) == '\\' && at(pos_ + 1) == 'u' && at(pos_ + 2) != '{') {
      const std::uint32_t trail = hex(pos_ + 2, 4, pos_);
      if (is_trail(trail)) {
        value = 0x10000 + ((value - 0xD800) << 10) + (trail - 0xDC00);
        pos_ += 6;
      }
    }
  }
  if (value > 0x10FFFF || is_lead(value) || is_trail(value))
    fail(start, "Invalid Unicode escape sequence: \"" + std::string(text_.substr(start, pos_ - start)) + "\".");
  append_utf8(value, out);
}

void Lexer::escape(std::string& out) {
  const std::size_t start = pos_;
  const char c = at(pos_ + 1);
  static constexpr std::string_view plain = "\"\\/bfnrtav'";
  static constexpr std::string_view meaning = "\"\\/\b\f\n\r\t\a\v'";
  if (const auto i = plain.find(c); c != '\0' && i != std::string_view::npos) {
    out += meaning[i];
    pos_ += 2;
  } else if (c == 'u' || c == 'U') {
    unicode_escape(out, start);
  } else if (c == 'x') {
    // Go writes \xNN for a byte that is not UTF-8; as text it can only be the code point of that number.
    append_utf8(hex(start + 2, 2, start), out);
    pos_ = start + 4;
  } else {
    fail(start, "Invalid character escape sequence: \"" + std::string(text_.substr(start, 2)) + "\".");
  }
}

}  // namespace dagger::graphql
