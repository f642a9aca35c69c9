// Arithmetic, containment and slicing, with Python's rules.

#include "runtime/text/JinjaOperators.h"

#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <algorithm>
#include <charconv>
#include <cmath>

using namespace moec;
using namespace moec::jinja;

static Value failOverflow(Run &run) { return run.fail("a whole number leaves 64 bits"); }

static Value power(Run &run, const Value &a, const Value &b) {
  if (a.isInteger() && b.isInteger() && b.integer() >= 0) {
    int64_t base = a.integer(), result = 1;
    for (int64_t exponent = b.integer(); exponent; exponent >>= 1) {
      if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
        return failOverflow(run);
      if (exponent > 1 && __builtin_mul_overflow(base, base, &base))
        return failOverflow(run);
    }
    return result;
  }
  if (a.real() == 0 && b.real() < 0)
    return run.fail("zero is raised to a negative power");
  double result = std::pow(a.real(), b.real());
  if (std::isnan(result) && !std::isnan(a.real()) && !std::isnan(b.real()))
    return run.fail("a negative number is raised to a fraction");
  if (std::isinf(result) && std::isfinite(a.real()) && std::isfinite(b.real()))
    return run.fail("a power is out of range");
  return result;
}

static Value divideIntegers(Run &run, int64_t a, int64_t b, bool remainder) {
  if (b == -1) { // the one quotient that may not fit
    int64_t quotient = 0;
    if (__builtin_sub_overflow(int64_t{0}, a, &quotient))
      return remainder ? Value(int64_t{0}) : failOverflow(run);
    return remainder ? int64_t{0} : quotient;
  }
  int64_t quotient = a / b, rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) { // Python rounds down
    --quotient;
    rest += b;
  }
  return remainder ? rest : quotient;
}

static Value calculateNumbers(Run &run, std::string_view op, const Value &a, const Value &b) {
  bool whole = a.isInteger() && b.isInteger();
  if (op == "**")
    return power(run, a, b);
  if (op[0] == '/' || op == "%") {
    if (b.real() == 0)
      return run.fail("division by zero");
    if (op == "/")
      return a.real() / b.real();
    if (whole)
      return divideIntegers(run, a.integer(), b.integer(), op == "%");
    double rest = std::fmod(a.real(), b.real());
    double quotient = (a.real() - rest) / b.real();
    if (rest != 0 && (rest < 0) != (b.real() < 0)) {
      rest += b.real();
      quotient -= 1;
    } else if (rest == 0) {
      rest = std::copysign(0.0, b.real());
    }
    if (op == "%")
      return rest;
    double floored = std::floor(quotient);
    return quotient - floored > 0.5 ? floored + 1 : floored;
  }
  if (whole) {
    int64_t result = 0;
    bool overflow = op == "+"   ? __builtin_add_overflow(a.integer(), b.integer(), &result)
                    : op == "-" ? __builtin_sub_overflow(a.integer(), b.integer(), &result)
                                : __builtin_mul_overflow(a.integer(), b.integer(), &result);
    return overflow ? failOverflow(run) : Value(result);
  }
  return op == "+" ? a.real() + b.real() : op == "-" ? a.real() - b.real() : a.real() * b.real();
}

static Value repeat(Run &run, const Value &value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  size_t size = value.text() ? value.text()->size() : value.sequence()->items.size();
  if (size && static_cast<size_t>(times) > run.limits.bytes / size)
    return run.fail("a repetition makes more than " + std::to_string(run.limits.bytes) + " bytes");
  if (value.text()) {
    if (!run.allocate(size * static_cast<size_t>(times)))
      return {};
    std::string repeated;
    for (int64_t i = 0; size && i < times; ++i)
      repeated += *value.text();
    return Value(std::move(repeated), value.isSafe());
  }
  if (!run.allocate(size * static_cast<size_t>(times) * sizeof(Value)))
    return {};
  std::vector<Value> items;
  for (int64_t i = 0; size && i < times; ++i)
    items.insert(items.end(), value.sequence()->items.begin(), value.sequence()->items.end());
  return run.list(std::move(items), value.sequence()->flavour);
}

static bool isPlainList(const Value &value) {
  const Sequence *sequence = value.sequence();
  return sequence && (sequence->flavour == Flavour::List || sequence->flavour == Flavour::Tuple);
}

static Value addTexts(Run &run, const Value &a, const Value &b) {
  if (a.isSafe() == b.isSafe())
    return run.text(*a.text() + *b.text(), a.isSafe());
  std::string left = a.isSafe() ? *a.text() : escapeHtml(*a.text());
  return run.text(left + (b.isSafe() ? *b.text() : escapeHtml(*b.text())), true);
}

Value moec::jinja::calculate(Run &run, std::string_view op, const Value &a, const Value &b) {
  if (!run.step())
    return {};
  if (op == "%" && a.text() && !a.isSafe())
    return formatPercent(run, *a.text(), b);
  if (a.isUndefined() || b.isUndefined())
    return run.failUndefined(a.isUndefined() ? a : b);
  if (a.isNumber() && b.isNumber())
    return calculateNumbers(run, op, a, b);
  if (op == "+" && a.text() && b.text())
    return addTexts(run, a, b);
  if (op == "+" && isPlainList(a) && isPlainList(b) &&
      a.sequence()->flavour == b.sequence()->flavour) {
    std::vector<Value> items = a.sequence()->items;
    items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
    return run.list(std::move(items), a.sequence()->flavour);
  }
  if (op == "*" && (a.text() || isPlainList(a)) && b.isInteger())
    return repeat(run, a, b.integer());
  if (op == "*" && (b.text() || isPlainList(b)) && a.isInteger())
    return repeat(run, b, a.integer());
  return run.fail("`" + std::string(op) + "` does not go with a " + std::string(typeName(a)) +
                  " and a " + std::string(typeName(b)));
}

Value moec::jinja::sign(Run &run, const Value &a, bool minus) {
  if (a.isUndefined())
    return run.failUndefined(a);
  if (!a.isNumber())
    return run.fail("a " + std::string(typeName(a)) + " has no sign");
  if (!a.isInteger())
    return minus ? -a.real() : a.real();
  int64_t result = a.integer();
  if (minus && __builtin_sub_overflow(int64_t{0}, result, &result))
    return failOverflow(run);
  return result;
}

static bool contains(Run &run, const Value &whole, const Value &part) {
  if (const std::string *text = whole.text()) {
    if (part.isUndefined())
      run.failUndefined(part);
    else if (!part.text())
      run.fail("`in` looks for text in text, found a " + std::string(typeName(part)));
    else
      return run.step(text->size() / 64) && text->find(*part.text()) != std::string::npos;
    return false;
  }
  if (const Mapping *mapping = whole.mapping())
    return find(run, *mapping, part) != nullptr;
  for (const Value &item : iterate(run, whole))
    if (equal(run, item, part))
      return true;
  return false;
}

bool moec::jinja::compare(Run &run, std::string_view op, const Value &a, const Value &b) {
  if (op == "==")
    return equal(run, a, b);
  if (op == "!=")
    return !equal(run, a, b);
  if (op == "in")
    return contains(run, b, a);
  if (op == "not in")
    return !contains(run, b, a);
  if (op[0] == '>')
    return op == ">" ? less(run, b, a) : less(run, b, a) || (!run.failed() && equal(run, a, b));
  return op == "<" ? less(run, a, b) : less(run, a, b) || (!run.failed() && equal(run, a, b));
}

std::vector<size_t> moec::jinja::sortedOrder(Run &run, const std::vector<Value> &keys,
                                             bool reverse) {
  // A merge sort of our own: it cannot go astray when `less` fails or the order is none (NaN).
  std::vector<size_t> order(keys.size()), merged(keys.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  for (size_t width = 1; width < order.size() && !run.failed(); width *= 2) {
    for (size_t start = 0; start < order.size(); start += 2 * width) {
      size_t middle = std::min(start + width, order.size());
      size_t end = std::min(middle + width, order.size());
      for (size_t to = start, left = start, right = middle; to < end; ++to) {
        bool takeRight = left == middle;
        if (!takeRight && right < end) {
          const Value &a = keys[order[left]], &b = keys[order[right]];
          takeRight = reverse ? less(run, a, b) : less(run, b, a);
        }
        merged[to] = takeRight ? order[right++] : order[left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

/// Where a slice starts, and how many items it takes in which steps.
struct Span {
  int64_t start, count, step;
};

static bool spanOf(Run &run, int64_t size, const Value &start, const Value &stop, const Value &step,
                   Span &span) {
  for (const Value *bound : {&start, &stop, &step}) {
    if (bound->isUndefined() || bound->isNone() || bound->isInteger())
      continue;
    run.fail("a slice needs whole numbers, found a " + std::string(typeName(*bound)));
    return false;
  }
  span.step = step.isInteger() ? step.integer() : 1;
  if (span.step == 0) {
    run.fail("a slice has step 0");
    return false;
  }
  bool back = span.step < 0;
  int64_t lowest = back ? -1 : 0, highest = back ? size - 1 : size;
  auto clamp = [&](const Value &bound, int64_t otherwise) {
    if (!bound.isInteger())
      return otherwise;
    int64_t at = bound.integer();
    if (at < 0)
      at = at < -size ? lowest : at + size;
    return std::clamp(at, lowest, highest);
  };
  span.start = clamp(start, back ? highest : lowest);
  int64_t end = clamp(stop, back ? lowest : highest);
  int64_t distance = back ? span.start - end : end - span.start;
  // Steps past the size take one item only; the bound keeps the sign change in range.
  span.step = std::clamp(span.step, -size - 1, size + 1);
  int64_t stride = back ? -span.step : span.step;
  span.count = distance > 0 ? (distance - 1) / stride + 1 : 0;
  return true;
}

Value moec::jinja::slice(Run &run, const Value &object, const Value &start, const Value &stop,
                         const Value &step) {
  if (object.isUndefined())
    return run.failUndefined(object);
  Span span;
  if (const std::string *text = object.text()) {
    if (!run.allocate(text->size() * sizeof(size_t)))
      return {};
    std::vector<size_t> offsets = offsetsOf(*text);
    if (!spanOf(run, static_cast<int64_t>(offsets.size()) - 1, start, stop, step, span))
      return {};
    if (span.step == 1)
      return run.text(text->substr(offsets[static_cast<size_t>(span.start)],
                                   offsets[static_cast<size_t>(span.start + span.count)] -
                                       offsets[static_cast<size_t>(span.start)]),
                      object.isSafe());
    std::string taken;
    for (int64_t i = 0; i < span.count; ++i) {
      size_t at = static_cast<size_t>(span.start + i * span.step);
      taken.append(*text, offsets[at], offsets[at + 1] - offsets[at]);
    }
    return run.text(std::move(taken), object.isSafe());
  }
  const Sequence *sequence = object.sequence();
  if (sequence && (isPlainList(object) || sequence->flavour == Flavour::Range)) {
    if (!spanOf(run, static_cast<int64_t>(sequence->items.size()), start, stop, step, span))
      return {};
    std::vector<Value> items;
    items.reserve(static_cast<size_t>(span.count));
    for (int64_t i = 0; i < span.count; ++i)
      items.push_back(sequence->items[static_cast<size_t>(span.start + i * span.step)]);
    return run.list(std::move(items), sequence->flavour);
  }
  return run.fail("a " + std::string(typeName(object)) + " cannot be sliced");
}

/// Without surrounding white space, sign and the underscores between digits; false if any of these
/// stands in the wrong place.
static bool cleanNumber(std::string_view text, bool &negative, std::string &clean) {
  text = strip(text, std::nullopt, true, true);
  negative = text.starts_with('-');
  if (negative || text.starts_with('+'))
    text.remove_prefix(1);
  char before = '_';
  for (char c : text) {
    if (c == '_' && !((before >= '0' && before <= '9') || (before | 0x20) >= 'a'))
      return false;
    if (c != '_')
      clean += c;
    else if (before == '_')
      return false;
    before = c;
  }
  return !clean.empty() && before != '_' && clean[0] != '-' && clean[0] != '+';
}

bool moec::jinja::readInteger(std::string_view text, int base, int64_t &value) {
  bool negative = false;
  std::string digits;
  if (!cleanNumber(text, negative, digits))
    return false;
  if (digits.size() > 2 && digits[0] == '0') {
    char prefix = static_cast<char>(digits[1] | 0x20);
    int meant = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (meant && (base == 0 || base == meant)) {
      base = meant;
      digits.erase(0, 2);
    }
  }
  if (negative)
    digits.insert(0, "-");
  std::from_chars_result read =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base ? base : 10);
  return read.ec == std::errc() && read.ptr == digits.data() + digits.size();
}

bool moec::jinja::readReal(std::string_view text, double &value) {
  bool negative = false;
  std::string digits;
  if (!cleanNumber(text, negative, digits))
    return false;
  std::string word = changeCase(digits, Casing::Lower);
  if (word == "inf" || word == "infinity")
    value = HUGE_VAL;
  else if (word == "nan")
    value = std::nan("");
  else {
    if (word.find_first_not_of("0123456789.e+-") != std::string::npos)
      return false;
    std::from_chars_result read =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (read.ec == std::errc::result_out_of_range) // Python gives inf or 0 here
      value = word.find("e-") != std::string::npos ? 0.0 : HUGE_VAL;
    else if (read.ec != std::errc())
      return false;
    if (read.ptr != digits.data() + digits.size())
      return false;
  }
  value = negative ? -value : value;
  return true;
}
