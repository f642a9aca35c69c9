// Cuts a chat template into tokens, with its white-space rules already applied.

#include "runtime/text/JinjaLexer.h"

#include "runtime/text/JinjaText.h"

#include <algorithm>
#include <charconv>

using namespace moec;
using namespace moec::jinja;

namespace {

class Lexer {
public:
  explicit Lexer(std::string_view source);
  Result<std::vector<Token>> run();

private:
  bool lexRoot();
  bool lexRaw(size_t opening);
  bool lexComment();
  bool lexTag(bool block);
  bool lexEndOfTag(bool block, bool &ended);
  bool lexNumber();
  bool lexString();
  bool lexOperator();
  bool unescape(std::string_view quoted, std::string &text);

  bool fail(std::string message);
  void add(Token::Kind kind, std::string_view text = {}) {
    tokens.push_back({kind, line, std::string(text)});
  }
  /// Moves on, counting lines.
  void advance(size_t end) {
    line += static_cast<uint32_t>(std::count(source.begin() + static_cast<ptrdiff_t>(at),
                                             source.begin() + static_cast<ptrdiff_t>(end), '\n'));
    atLineStart = end > at ? source[end - 1] == '\n' : atLineStart;
    at = end;
  }
  size_t skipSpace(size_t from) const {
    std::string_view rest = std::string_view(source).substr(from);
    return source.size() - strip(rest, std::nullopt, true, false).size();
  }
  bool startsWith(std::string_view text, size_t from) const {
    return std::string_view(source).substr(from).starts_with(text);
  }
  size_t endOfBlock(size_t from) const;
  size_t rawOpening(size_t from) const;
  void addData(size_t end, char sign, bool output);

  std::string source;
  size_t at = 0;
  uint32_t line = 1;
  bool atLineStart = true; ///< whether what was read so far ended in a newline
  std::string open;        ///< closing brackets still wanted in this tag
  std::vector<Token> tokens;
  std::string message;
};

} // namespace

Lexer::Lexer(std::string_view text) {
  source.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      source += text[i];
      continue;
    }
    source += '\n';
    if (i + 1 < text.size() && text[i + 1] == '\n')
      ++i;
  }
  if (source.ends_with('\n'))
    source.pop_back();
}

bool Lexer::fail(std::string text) {
  message = "chat template, line " + std::to_string(line) + ": " + std::move(text);
  return false;
}

Result<std::vector<Token>> Lexer::run() {
  while (at < source.size())
    if (!lexRoot())
      return Status{Code::Model, std::move(message)};
  add(Token::Kind::End);
  return std::move(tokens);
}

static char signAt(std::string_view source, size_t at) {
  return at < source.size() && (source[at] == '-' || source[at] == '+') ? source[at] : 0;
}

/// Where `%}` with its modifier ends, or 0 if there is none at `from`: `-%}` takes the white space
/// after it, a plain one the newline.
size_t Lexer::endOfBlock(size_t from) const {
  if (startsWith("-%}", from))
    return skipSpace(from + 3);
  if (startsWith("+%}", from))
    return from + 3;
  if (!startsWith("%}", from))
    return 0;
  return from + 2 + startsWith("\n", from + 2);
}

/// Where `{% raw %}` at `from` ends, or 0 if there is none.
size_t Lexer::rawOpening(size_t from) const {
  size_t word = skipSpace(from + 2 + (signAt(source, from + 2) != 0));
  if (!startsWith("raw", word))
    return 0;
  size_t end = skipSpace(word + 3);
  if (startsWith("-%}", end))
    return skipSpace(end + 3);
  return startsWith("%}", end) ? end + 2 : 0;
}

/// Adds the text up to `end`, where a tag with this sign begins.
void Lexer::addData(size_t end, char sign, bool output) {
  std::string_view text = std::string_view(source).substr(at, end - at);
  if (sign == '-') {
    text = strip(text, std::nullopt, false, true);
  } else if (sign != '+' && !output) {
    size_t newline = text.rfind('\n');
    size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if ((start > 0 || atLineStart) && strip(text.substr(start), std::nullopt, true, false).empty())
      text = text.substr(0, start);
  }
  if (!text.empty())
    add(Token::Kind::Data, text);
  advance(end);
}

bool Lexer::lexRoot() {
  size_t tag = source.find('{', at);
  while (tag != std::string::npos && !startsWith("{{", tag) && !startsWith("{%", tag) &&
         !startsWith("{#", tag))
    tag = source.find('{', tag + 1);
  if (tag == std::string::npos) {
    add(Token::Kind::Data, std::string_view(source).substr(at));
    advance(source.size());
    return true;
  }
  char kind = source[tag + 1];
  char sign = signAt(source, tag + 2);
  addData(tag, sign, kind == '{');
  if (kind == '%') {
    if (size_t opening = rawOpening(tag))
      return lexRaw(opening);
  }
  if (kind != '#')
    add(kind == '%' ? Token::Kind::BlockBegin : Token::Kind::OutputBegin);
  advance(tag + 2 + (sign != 0));
  return kind == '#' ? lexComment() : lexTag(kind == '%');
}

bool Lexer::lexRaw(size_t opening) {
  advance(opening);
  for (size_t tag = source.find("{%", at); tag != std::string::npos;
       tag = source.find("{%", tag + 1)) {
    char sign = signAt(source, tag + 2);
    size_t word = skipSpace(tag + 2 + (sign != 0));
    if (!startsWith("endraw", word))
      continue;
    size_t end = endOfBlock(skipSpace(word + 6));
    if (!end)
      continue;
    addData(tag, sign, false);
    advance(end);
    return true;
  }
  return fail("`raw` is never closed by `endraw`");
}

bool Lexer::lexComment() {
  size_t end = source.find("#}", at);
  if (end == std::string::npos)
    return fail("a comment is never closed by `#}`");
  char sign = end > at ? signAt(source, end - 1) : 0;
  end += 2;
  if (sign == '-')
    end = skipSpace(end);
  else if (sign != '+' && startsWith("\n", end))
    ++end;
  advance(end);
  return true;
}

/// Reads the end of the tag if it is here; brackets must be closed for that.
bool Lexer::lexEndOfTag(bool block, bool &ended) {
  if (!open.empty())
    return true;
  size_t end = 0;
  if (block)
    end = endOfBlock(at);
  else if (startsWith("-}}", at))
    end = skipSpace(at + 3);
  else if (startsWith("}}", at))
    end = at + 2;
  ended = end != 0;
  if (ended) {
    add(block ? Token::Kind::BlockEnd : Token::Kind::OutputEnd);
    advance(end);
  }
  return true;
}

bool Lexer::lexTag(bool block) {
  uint32_t first = line;
  open.clear();
  while (at < source.size()) {
    bool ended = false;
    if (!lexEndOfTag(block, ended))
      return false;
    if (ended)
      return true;
    CodePoint point = codePointAt(source, at);
    if (isSpace(point.value)) {
      advance(skipSpace(at));
    } else if (source[at] >= '0' && source[at] <= '9') {
      if (!lexNumber())
        return false;
    } else if (isWord(point.value)) {
      size_t end = at;
      while (end < source.size() && isWord(codePointAt(source, end).value))
        end += codePointAt(source, end).bytes;
      add(Token::Kind::Name, std::string_view(source).substr(at, end - at));
      advance(end);
    } else if (source[at] == '"' || source[at] == '\'') {
      if (!lexString())
        return false;
    } else if (!lexOperator()) {
      return false;
    }
  }
  return fail(std::string("the tag opened on line ") + std::to_string(first) +
              " is never closed by `" + (block ? "%}" : "}}") + "`");
}

static int digitOf(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return 99;
}

/// Appends digits of `base`, single underscores between them allowed, to `digits`; returns the end.
static size_t takeDigits(std::string_view source, size_t at, int base, std::string &digits) {
  while (at < source.size()) {
    size_t digit = at + (source[at] == '_' && !digits.empty());
    if (digit >= source.size() || digitOf(source[digit]) >= base)
      break;
    digits += source[digit];
    at = digit + 1;
  }
  return at;
}

bool Lexer::lexNumber() {
  int base = 10;
  size_t start = at;
  char prefix = at + 1 < source.size() ? static_cast<char>(source[at + 1] | 0x20) : 0;
  if (source[at] == '0' && (prefix == 'x' || prefix == 'o' || prefix == 'b')) {
    base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2;
    start = at + 2 + (at + 2 < source.size() && source[at + 2] == '_');
  }
  std::string digits;
  size_t end = takeDigits(source, start, base, digits);
  std::string number = digits;
  bool real = false;
  bool attribute = at > 0 && source[at - 1] == '.'; // `a.0.1` indexes twice
  if (base == 10 && !attribute) {
    std::string fraction, exponent;
    if (startsWith(".", end)) {
      size_t past = takeDigits(source, end + 1, 10, fraction);
      if (!fraction.empty()) {
        number += '.' + fraction;
        end = past;
        real = true;
      }
    }
    if (end < source.size() && (source[end] | 0x20) == 'e') {
      char sign = signAt(source, end + 1);
      size_t past = takeDigits(source, end + 1 + (sign != 0), 10, exponent);
      if (!exponent.empty()) {
        number += std::string("e") + (sign == '-' ? "-" : "") + exponent;
        end = past;
        real = true;
      }
    }
  }
  Token token{real ? Token::Kind::Float : Token::Kind::Integer, line, source.substr(at, end - at)};
  std::from_chars_result read =
      real ? std::from_chars(number.data(), number.data() + number.size(), token.real)
           : std::from_chars(number.data(), number.data() + number.size(), token.integer, base);
  if (read.ec != std::errc())
    return fail("the number " + token.text + " is out of range");
  tokens.push_back(std::move(token));
  advance(end);
  return true;
}

bool Lexer::lexString() {
  char quote = source[at];
  size_t end = at + 1;
  while (end < source.size() && source[end] != quote)
    end += source[end] == '\\' ? 2 : 1;
  if (end >= source.size())
    return fail("a string is never closed");
  std::string text;
  if (!unescape(std::string_view(source).substr(at + 1, end - at - 1), text))
    return false;
  add(Token::Kind::String, text);
  advance(end + 1);
  return true;
}

bool Lexer::unescape(std::string_view quoted, std::string &text) {
  static constexpr std::string_view letters = "abfnrtv\\'\"";
  static constexpr std::string_view meanings = "\a\b\f\n\r\t\v\\'\"";
  for (size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] != '\\' || i + 1 == quoted.size()) {
      text += quoted[i];
      continue;
    }
    char c = quoted[++i];
    size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (size_t at = letters.find(c); at != std::string_view::npos) {
      text += meanings[at];
    } else if (c == '\n') {
      continue; // an escaped newline joins the lines
    } else if (c >= '0' && c <= '7') {
      int value = 0;
      size_t end = std::min(i + 3, quoted.size());
      for (; i < end && quoted[i] >= '0' && quoted[i] <= '7'; ++i)
        value = value * 8 + (quoted[i] - '0');
      --i;
      appendCodePoint(text, value);
    } else if (width) {
      uint32_t value = 0;
      for (size_t digit = 1; digit <= width; ++digit) {
        if (i + digit >= quoted.size() || digitOf(quoted[i + digit]) >= 16)
          return fail(std::string("the escape `\\") + c + "` needs " + std::to_string(width) +
                      " hexadecimal digits");
        value = value << 4 | static_cast<uint32_t>(digitOf(quoted[i + digit]));
      }
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return fail(std::string("the escape `\\") + c + "` names no character");
      appendCodePoint(text, static_cast<int32_t>(value));
      i += width;
    } else if (c == 'N') {
      return fail("characters by name (`\\N`) are not supported; write the character itself");
    } else {
      (text += '\\') += c; // as in Python, an unknown escape stays
    }
  }
  return true;
}

bool Lexer::lexOperator() {
  static constexpr std::string_view spellings[] = {
      "//", "**", "==", "!=", "<=", ">=", "+", "-", "/", "*", "%", "~", "[",
      "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};
  for (std::string_view spelling : spellings) {
    if (!startsWith(spelling, at))
      continue;
    char c = spelling[0];
    if (c == '(' || c == '[' || c == '{')
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty())
        return fail(std::string("unexpected `") + c + "`");
      if (open.back() != c)
        return fail(std::string("unexpected `") + c + "`, wanted `" + open.back() + "`");
      open.pop_back();
    }
    add(Token::Kind::Operator, spelling);
    advance(at + spelling.size());
    return true;
  }
  size_t bytes = codePointAt(source, at).bytes;
  return fail("unexpected character " + quotePython(std::string_view(source).substr(at, bytes)));
}

Result<std::vector<Token>> moec::jinja::tokenize(std::string_view source) {
  return Lexer(source).run();
}
