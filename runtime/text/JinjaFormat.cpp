// Python's two ways to format text: `format % values` and str.format.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace moec;
using namespace moec::jinja;

namespace {

/// One conversion of a percent format, such as `%-8.3f`.
struct Conversion {
  std::string flags;
  size_t width = 0;
  int precision = -1;
  char type = 0;

  bool has(char flag) const { return flags.find(flag) != std::string::npos; }
};

} // namespace

static constexpr size_t mostWidth = 10'000;

/// Digits at `at`, bounded so that sums stay small.
static size_t takeNumber(std::string_view format, size_t &at) {
  size_t number = 0;
  for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at)
    number = std::min(number * 10 + static_cast<size_t>(format[at] - '0'), mostWidth + 1);
  return number;
}

static std::string pad(const Conversion &how, std::string text, bool number) {
  size_t length = lengthOf(text);
  if (length >= how.width)
    return text;
  size_t missing = how.width - length;
  if (how.has('-'))
    return text + std::string(missing, ' ');
  if (number && how.has('0')) {
    size_t digits = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ');
    return text.insert(digits, missing, '0');
  }
  return std::string(missing, ' ') + text;
}

static std::string withSign(const Conversion &how, bool negative, const std::string &digits) {
  return (negative ? "-" : how.has('+') ? "+" : how.has(' ') ? " " : "") + digits;
}

static std::string convertInteger(Run &run, const Conversion &how, const Value &value) {
  bool decimal = how.type == 'd' || how.type == 'i' || how.type == 'u';
  if (!value.isNumber() || (!decimal && !value.isInteger()) ||
      (!value.isInteger() && !(std::fabs(value.real()) < 0x1p63))) {
    run.fail(std::string("`%") + how.type + "` needs a whole number, found a " +
             std::string(typeName(value)));
    return {};
  }
  int64_t number = value.isInteger() ? value.integer() : static_cast<int64_t>(value.real());
  uint64_t size = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  unsigned base = decimal ? 10 : how.type == 'o' ? 8 : 16;
  const char *symbols = how.type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do
    digits += symbols[size % base];
  while (size /= base);
  while (static_cast<int>(digits.size()) < how.precision)
    digits += '0';
  std::reverse(digits.begin(), digits.end());
  if (how.has('#') && !decimal)
    digits = std::string("0") + how.type + digits;
  return pad(how, withSign(how, number < 0, digits), true);
}

static std::string convertReal(Run &run, const Conversion &how, const Value &value) {
  if (!value.isNumber()) {
    run.fail(std::string("`%") + how.type + "` needs a number, found a " +
             std::string(typeName(value)));
    return {};
  }
  std::string format = std::string("%") + (how.has('#') ? "#" : "") + ".*" + how.type;
  int precision = how.precision < 0 ? 6 : how.precision;
  double size = std::fabs(value.real());
  int length = std::snprintf(nullptr, 0, format.c_str(), precision, size);
  std::string digits(static_cast<size_t>(length) + 1, 0);
  std::snprintf(digits.data(), digits.size(), format.c_str(), precision, size);
  digits.pop_back();
  bool negative = std::signbit(value.real()) && !std::isnan(value.real());
  return pad(how, withSign(how, negative, digits), true);
}

static std::string convert(Run &run, const Conversion &how, const Value &value) {
  switch (how.type) {
  case 's':
  case 'r': {
    std::string text = how.type == 's' ? print(run, value) : printQuoted(run, value);
    if (how.precision >= 0) {
      std::vector<size_t> offsets = offsetsOf(text);
      text.resize(offsets[std::min(static_cast<size_t>(how.precision), offsets.size() - 1)]);
    }
    return pad(how, std::move(text), false);
  }
  case 'c':
    if (const std::string *text = value.text(); text && lengthOf(*text) == 1)
      return pad(how, *text, false);
    run.fail("`%c` needs a single character");
    return {};
  case 'd':
  case 'i':
  case 'u':
  case 'x':
  case 'X':
  case 'o':
    return convertInteger(run, how, value);
  case 'e':
  case 'E':
  case 'f':
  case 'F':
  case 'g':
  case 'G':
    return convertReal(run, how, value);
  default:
    run.fail(std::string("a format has the unknown conversion `%") + how.type + "`");
    return {};
  }
}

Value moec::jinja::formatPercent(Run &run, const std::string &format, const Value &values) {
  const Sequence *tuple = values.sequence();
  if (tuple && tuple->flavour != Flavour::Tuple)
    tuple = nullptr;
  const Mapping *mapping = values.mapping();
  size_t used = 0;
  std::string text;
  for (size_t at = 0; at < format.size() && run.step();) {
    if (format[at] != '%') {
      text += format[at++];
      continue;
    }
    ++at;
    if (at < format.size() && format[at] == '%') {
      text += format[at++];
      continue;
    }
    Conversion how;
    Value value;
    bool named = at < format.size() && format[at] == '(';
    if (named) {
      size_t close = format.find(')', at);
      if (close == std::string::npos || !mapping)
        return run.fail("a format that names its values needs a mapping");
      std::string name = format.substr(at + 1, close - at - 1);
      const Value *found = find(*mapping, name);
      if (!found)
        return run.fail("a format names " + quotePython(name) + ", which is not given");
      value = *found;
      at = close + 1;
    }
    while (at < format.size() && std::string_view("-+ 0#").find(format[at]) != std::string::npos)
      how.flags += format[at++];
    how.width = takeNumber(format, at);
    if (at < format.size() && format[at] == '.')
      how.precision = static_cast<int>(takeNumber(format, ++at));
    if (how.width > mostWidth || how.precision > static_cast<int>(mostWidth))
      return run.fail("a format asks for more than " + std::to_string(mostWidth) + " characters");
    if (at >= format.size())
      return run.fail("a format ends inside of a conversion");
    how.type = format[at++];
    if (!named) {
      if (used >= (tuple ? tuple->items.size() : 1))
        return run.fail("a format wants more values than it is given");
      value = tuple ? tuple->items[used] : values;
      ++used;
    }
    std::string piece = convert(run, how, value);
    if (!run.allocate(piece.size()))
      return {};
    text += piece;
  }
  bool indexable = mapping || values.isUndefined() || (values.sequence() && !tuple);
  if (!indexable && used < (tuple ? tuple->items.size() : 1))
    return run.fail("a format is given more values than it wants");
  return run.text(std::move(text));
}

/// The value that a field such as `0`, `name`, `name.part` or `0[key]` means.
static Value fieldOf(Run &run, std::string_view field, const Arguments &arguments, size_t &next) {
  size_t end = std::min(field.find_first_of(".["), field.size());
  std::string_view first = field.substr(0, end);
  Value value;
  int64_t index = 0;
  if (first.empty() || readInteger(first, 10, index)) {
    size_t position = first.empty() ? next++ : static_cast<size_t>(index);
    if (index < 0 || position >= arguments.positional.size())
      return run.fail("a format wants more values than it is given");
    value = arguments.positional[position];
  } else {
    auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                              [&](const auto &argument) { return argument.first == first; });
    if (named == arguments.named.end())
      return run.fail("a format names " + quotePython(first) + ", which is not given");
    value = named->second;
  }
  while (end < field.size() && !run.failed()) {
    bool item = field[end] == '[';
    size_t stop = item ? field.find(']', end) : field.find_first_of(".[", end + 1);
    if (item && stop == std::string_view::npos)
      return run.fail("a format misses `]`");
    stop = std::min(stop, field.size());
    std::string_view name = field.substr(end + 1, stop - end - 1);
    if (!item)
      value = attributeOf(run, value, name);
    else
      value = itemOf(run, value, readInteger(name, 10, index) ? Value(index) : Value(name));
    end = stop + item;
  }
  return value;
}

Value moec::jinja::formatBraces(Run &run, const std::string &format, const Arguments &arguments) {
  std::string text;
  size_t next = 0;
  for (size_t at = 0; at < format.size() && run.step(); ++at) {
    char c = format[at];
    if (c != '{' && c != '}') {
      text += c;
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == c) {
      text += c;
      ++at;
      continue;
    }
    size_t close = format.find('}', at);
    if (c == '}' || close == std::string::npos)
      return run.fail("a format has a single brace");
    std::string_view field = std::string_view(format).substr(at + 1, close - at - 1);
    if (field.find(':') != std::string_view::npos || field.find('{') != std::string_view::npos)
      return run.fail("format specifications after `:` are not supported; use the filter `format`",
                      Code::Unsupported);
    size_t mark = field.find('!');
    Value value = fieldOf(run, field.substr(0, mark), arguments, next);
    bool quoted = mark != std::string_view::npos && field.substr(mark) == "!r";
    std::string piece = quoted ? printQuoted(run, value) : print(run, value);
    if (!run.allocate(piece.size()))
      return {};
    text += piece;
    at = close;
  }
  return run.text(std::move(text));
}
