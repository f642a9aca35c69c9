// One pass over the pattern that writes the other spelling as it goes.

#include "frontends/checkpoint/OnigurumaPattern.h"

#include "frontends/checkpoint/CharacterClass.h"
#include "runtime/text/Utf8.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

using namespace moec;

namespace {

constexpr int maxDepth = 50; // of groups, and of classes in classes

/// A group that is open.
struct Group {
  int closings = 1;         ///< parentheses that its end writes
  bool ignoresCase = false; ///< inside, from here on
};

class Translator {
public:
  explicit Translator(std::string_view pattern) : text(pattern) {}

  Result<std::string> run() {
    groups.push_back({.closings = 0});
    while (failure.ok() && at < text.size())
      element();
    if (failure.ok() && groups.size() > 1)
      malformed("a group without end");
    if (!failure.ok())
      return failure;
    close();
    return std::move(out);
  }

private:
  bool take(std::string_view token) {
    if (!text.substr(at).starts_with(token))
      return false;
    at += token.size();
    return true;
  }
  bool peek(std::string_view token) const { return text.substr(at).starts_with(token); }
  char next() { return at < text.size() ? text[at++] : '\0'; }

  void fail(Code code, std::string what) {
    if (failure.ok())
      failure = {code, fmt::format("regular expression `{}`: {} at byte {}", text, what, at)};
    at = text.size();
  }
  void malformed(std::string what) { fail(Code::Model, std::move(what)); }
  void unsupported(std::string what) { fail(Code::Unsupported, std::move(what) + ", unsupported"); }

  void element();
  void escape();
  void group();
  void options();
  void close();
  void quantifier();
  CharacterClass characterClass(int depth);
  void classItem(ClassOperand &operand);
  bool classEscape(ClassOperand &operand);
  void posixClass(ClassOperand &operand);
  void addProperty(ClassOperand &operand, std::string_view name, bool negated);
  std::string_view propertyName(bool &negated);
  char32_t character();
  char32_t escapedCharacter(char letter);
  char32_t hexadecimal(size_t least, size_t most);

  std::string_view text;
  size_t at = 0;
  std::string out;
  std::vector<Group> groups;
  bool lone = false; ///< a class that a backslash names stands outside brackets
  Status failure;
};

} // namespace

/// What \w means outside a class: there, and not inside one, Oniguruma counts Latin-1's raised
/// digits and fractions in.
static std::string loneWordItems() {
  return std::string(wordItems()) + "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";
}

/// A character that stands for itself, inside a class or out of it.
static std::string literal(char32_t value) { return fmt::format("\\x{{{:X}}}", uint32_t(value)); }

void Translator::element() {
  switch (text[at]) {
  case '\\':
    ++at;
    escape();
    return;
  case '(':
    ++at;
    group();
    return;
  case ')':
    ++at;
    if (groups.size() == 1)
      return malformed("an unmatched )");
    close();
    return;
  case '[':
    ++at;
    out += characterClass(0).spell();
    return;
  case '*':
  case '+':
  case '?':
    out += next();
    if (peek("?") || peek("+")) // lazy, possessive
      out += next();
    return;
  case '{':
    quantifier();
    return;
  case '|':
  case '.':
  case '^':
  case '$':
    out += next();
    return;
  default:
    out += literal(character());
    return;
  }
}

/// The character at the cursor, which moves behind it.
char32_t Translator::character() {
  utf8::Character found = utf8::first(text.substr(at));
  if (found.bytes == 0) {
    malformed("bytes that are not UTF-8");
    return 0;
  }
  at += found.bytes;
  return found.value;
}

char32_t Translator::hexadecimal(size_t least, size_t most) {
  char32_t value = 0;
  size_t digits = 0;
  while (digits < most && at < text.size() && std::isxdigit(static_cast<unsigned char>(text[at]))) {
    char digit = next();
    value =
        value * 16 + static_cast<char32_t>(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
    ++digits;
  }
  if (digits < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    malformed("not the number of a character");
  return value;
}

/// The character that a backslash and `letter` stand for; also what is no class or assertion.
char32_t Translator::escapedCharacter(char letter) {
  switch (letter) {
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case 'f':
    return '\f';
  case 'v':
    return '\v';
  case 'a':
    return 7;
  case 'e':
    return 0x1B;
  case 'u':
    return hexadecimal(4, 4);
  case 'x': {
    if (take("{")) {
      char32_t value = hexadecimal(1, 8);
      if (!take("}"))
        malformed("\\x{ without }");
      return value;
    }
    char32_t value = hexadecimal(1, 2);
    if (value >= 0x80)
      unsupported("a byte that is no character");
    return value;
  }
  case '0': {
    char32_t value = 0;
    for (int i = 0; i < 2 && at < text.size() && text[at] >= '0' && text[at] <= '7'; ++i)
      value = value * 8 + static_cast<char32_t>(next() - '0');
    return value;
  }
  default:
    --at;
    if (std::isalnum(static_cast<unsigned char>(letter)) || at >= text.size()) {
      unsupported(fmt::format("`\\{}`", at < text.size() ? std::string(1, letter) : "end"));
      return 0;
    }
    return character();
  }
}

/// After \p or \P: the name between braces; flips `negated` for ^.
std::string_view Translator::propertyName(bool &negated) {
  if (!take("{")) {
    unsupported("a property without braces");
    return {};
  }
  if (take("^"))
    negated = !negated;
  size_t end = text.find('}', at);
  if (end == text.npos || end == at) {
    malformed("a property without name or end");
    return {};
  }
  std::string_view name = text.substr(at, end - at);
  at = end + 1;
  return name;
}

void Translator::addProperty(ClassOperand &operand, std::string_view name, bool negated) {
  std::optional<UnicodeProperty> property = findProperty(name);
  if (!property)
    return unsupported(fmt::format("the property `{}`", name));
  if (property->dependsOnCase && groups.back().ignoresCase)
    return unsupported(fmt::format("the property `{}` where case is ignored", name));
  ClassOperand inner;
  if (property->category.empty())
    inner.add(lone && property->items == wordItems() ? loneWordItems() : property->items);
  else
    inner.addCategory(property->category);
  CharacterClass wrapped{.negated = negated, .operands = {}};
  wrapped.operands.push_back(std::move(inner));
  operand.add(std::move(wrapped));
}

/// The classes that a backslash and a letter name; false, with the cursor before the letter, where
/// it names none.
bool Translator::classEscape(ClassOperand &operand) {
  char letter = next();
  CharacterClass complement{.negated = true, .operands = {}};
  complement.operands.emplace_back();
  switch (letter) {
  case 'd':
    operand.addCategory("Nd");
    return true;
  case 's':
    operand.add(spaceItems());
    return true;
  case 'S':
    operand.add(nonSpaceItems());
    return true;
  case 'w':
    operand.add(wordItems());
    return true;
  case 'h':
    operand.add("0-9A-Fa-f");
    return true;
  case 'D':
    complement.operands[0].addCategory("Nd");
    break;
  case 'W':
    complement.operands[0].add(wordItems());
    break;
  case 'H':
    complement.operands[0].add("0-9A-Fa-f");
    break;
  case 'p':
  case 'P': {
    bool negated = letter == 'P';
    std::string_view name = propertyName(negated);
    if (failure.ok())
      addProperty(operand, name, negated);
    return true;
  }
  default:
    --at;
    return false;
  }
  operand.add(std::move(complement));
  return true;
}

void Translator::escape() {
  if (at >= text.size())
    return malformed("a backslash at the end");
  if (take("w") || take("W")) {
    out += fmt::format("[{}{}]", text[at - 1] == 'W' ? "^" : "", loneWordItems());
    return;
  }
  CharacterClass named;
  named.operands.emplace_back();
  lone = true;
  bool isClass = classEscape(named.operands[0]);
  lone = false;
  if (isClass) {
    if (failure.ok())
      out += named.spell();
    return;
  }
  char letter = next();
  switch (letter) {
  case 'A':
  case 'z':
  case 'Z':
    out += '\\';
    out += letter;
    return;
  case 'b':
  case 'B': {
    std::string word = fmt::format("[{}]", loneWordItems());
    const char *form = letter == 'b' ? "(?:(?<={0})(?!{0})|(?<!{0})(?={0}))"
                                     : "(?:(?<={0})(?={0})|(?<!{0})(?!{0}))";
    out += fmt::format(fmt::runtime(form), word);
    return;
  }
  default:
    out += literal(escapedCharacter(letter));
  }
}

void Translator::group() {
  if (groups.size() > maxDepth)
    return unsupported("groups nested so deeply");
  bool ignoresCase = groups.back().ignoresCase;
  if (peek("*"))
    return unsupported("a callout");
  if (!take("?")) {
    out += "(?:"; // nothing refers back to it
    groups.push_back({1, ignoresCase});
    return;
  }
  if (take("#")) {
    size_t end = text.find(')', at);
    if (end == text.npos)
      return malformed("a comment without end");
    at = end + 1;
    return;
  }
  for (std::string_view kind : {":", "=", "!", ">", "<=", "<!"})
    if (take(kind)) {
      out += "(?";
      out += kind;
      groups.push_back({1, ignoresCase});
      return;
    }
  if (peek("<") || peek("'")) {
    char end = next() == '<' ? '>' : '\'';
    size_t close = text.find(end, at);
    if (close == text.npos)
      return malformed("a name without end");
    at = close + 1;
    out += "(?:";
    groups.push_back({1, ignoresCase});
    return;
  }
  options();
}

/// (?im-im) and (?im-im:...). Oniguruma's m is what others call s. An option without colon holds to
/// the end of the group around it, also across |.
void Translator::options() {
  std::string flags;
  bool on = true, ignoresCase = groups.back().ignoresCase;
  for (;;) {
    switch (char letter = next()) {
    case '-':
      if (!on)
        return malformed("two signs among options");
      on = false;
      flags += '-';
      continue;
    case 'i':
      ignoresCase = on;
      flags += 'i';
      continue;
    case 'm':
      flags += 's';
      continue;
    case ':':
      out += "(?" + flags + ":";
      groups.push_back({1, ignoresCase});
      return;
    case ')':
      out += "(?" + flags + ":";
      ++groups.back().closings;
      groups.back().ignoresCase = ignoresCase;
      return;
    default:
      --at;
      return unsupported(fmt::format("the group (?{}", letter));
    }
  }
}

void Translator::close() {
  out.append(static_cast<size_t>(groups.back().closings), ')');
  groups.pop_back();
}

/// {n}, {n,}, {,m}, {n,m}; other braces stand for themselves.
void Translator::quantifier() {
  size_t start = at++;
  auto number = [&] {
    size_t begin = at;
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])))
      ++at;
    return text.substr(begin, at - begin);
  };
  std::string_view least = number();
  bool isRange = take(",");
  std::string_view most = isRange ? number() : least;
  if (!take("}") || (least.empty() && most.empty())) {
    at = start + 1;
    out += literal('{');
    return;
  }
  if (least.size() > 5 || most.size() > 5 ||
      (!least.empty() && !most.empty() &&
       std::stoi(std::string(least)) > std::stoi(std::string(most))))
    return unsupported("such a repetition");
  out += fmt::format("{{{}{}{}}}", least.empty() ? "0" : least, isRange ? "," : "",
                     isRange ? most : "");
  if (peek("+") || (!isRange && peek("?")))
    return unsupported("a sign that repeats a repetition");
  if (take("?"))
    out += '?';
}

void Translator::posixClass(ClassOperand &operand) {
  bool negated = take("^");
  size_t end = text.find(":]", at);
  if (end == text.npos)
    return malformed("[: without :]");
  std::string_view name = text.substr(at, end - at);
  at = end + 2;
  for (std::string_view known :
       {"alpha", "alnum", "digit", "space", "upper", "lower", "word", "xdigit", "ascii", "cntrl"})
    if (known == name)
      return addProperty(operand, name, negated);
  unsupported(fmt::format("the class [:{}:]", name));
}

/// One character, a range of them, or a class that a backslash names.
void Translator::classItem(ClassOperand &operand) {
  auto one = [&]() -> char32_t {
    if (!take("\\"))
      return character();
    if (at >= text.size()) {
      malformed("a backslash at the end");
      return 0;
    }
    if (take("b"))
      return 8;
    return escapedCharacter(next());
  };
  if (peek("\\") && at + 1 < text.size()) {
    ++at;
    if (classEscape(operand))
      return;
    --at;
  }
  char32_t low = one();
  bool isRange = peek("-") && at + 1 < text.size() && text[at + 1] != ']' &&
                 text.substr(at, 3) != "-&&" && failure.ok();
  if (!isRange)
    return operand.add(literal(low));
  ++at;
  if (peek("["))
    return unsupported("a range that ends in a class");
  if (peek("\\") && at + 1 < text.size() &&
      std::string_view("dDsSwWhHpP").find(text[at + 1]) != std::string_view::npos)
    return unsupported("a range that ends in a class");
  char32_t high = one();
  if (failure.ok() && high < low)
    return malformed("a range that ends before it begins");
  operand.add(literal(low) + "-" + literal(high));
}

/// After the opening bracket.
CharacterClass Translator::characterClass(int depth) {
  CharacterClass result;
  result.negated = take("^");
  result.operands.emplace_back();
  if (depth > maxDepth) {
    unsupported("classes nested so deeply");
    return result;
  }
  for (bool isFirst = true; failure.ok(); isFirst = false) {
    ClassOperand &operand = result.operands.back();
    if (at >= text.size()) {
      malformed("a class without end");
    } else if (!isFirst && take("]")) {
      break;
    } else if (take("&&")) {
      if (operand.items.empty() && operand.classes.empty())
        unsupported("an intersection with nothing");
      result.operands.emplace_back();
    } else if (take("[:")) {
      posixClass(operand);
    } else if (take("[")) {
      CharacterClass inner = characterClass(depth + 1);
      operand.add(std::move(inner));
    } else {
      classItem(operand);
    }
  }
  const ClassOperand &last = result.operands.back();
  if (failure.ok() && last.items.empty() && last.classes.empty())
    unsupported("an intersection with nothing");
  return result;
}

Result<std::string> moec::translateOniguruma(std::string_view pattern) {
  return Translator(pattern).run();
}
