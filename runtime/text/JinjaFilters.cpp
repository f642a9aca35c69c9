// Filters on single values, and how arguments find their parameters.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>

using namespace moec;
using namespace moec::jinja;

bool moec::jinja::bindArguments(Run &run, std::string_view callee, const Arguments &arguments,
                                std::span<const Parameter> parameters, std::span<Value> values) {
  std::string name(callee);
  std::vector<bool> given(parameters.size());
  if (arguments.positional.size() > parameters.size()) {
    run.fail("`" + name + "` takes at most " + std::to_string(parameters.size()) +
             " arguments, found " + std::to_string(arguments.positional.size()));
    return false;
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    values[i] = arguments.positional[i];
    given[i] = true;
  }
  for (const auto &[keyword, value] : arguments.named) {
    size_t i = 0;
    while (i < parameters.size() && parameters[i].name != keyword)
      ++i;
    if (i == parameters.size() || given[i]) {
      run.fail(fmt::format(
          "`{}` {} `{}`", name,
          i == parameters.size() ? "has no argument" : "is given twice the argument", keyword));
      return false;
    }
    values[i] = value;
    given[i] = true;
  }
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].required && !given[i]) {
      run.fail("`" + name + "` misses its argument `" + std::string(parameters[i].name) + "`");
      return false;
    }
  return !run.failed();
}

/// The text of a value as most text filters take it: any value is printed first.
static std::string textOf(Run &run, const Value &value) {
  return value.text() ? *value.text() : print(run, value);
}

static bool bindNone(Run &run, std::string_view filter, const Arguments &arguments) {
  return bindArguments(run, filter, arguments, {}, {});
}

/// A whole number among the arguments; fails where it is none or leaves `lowest`...`highest`.
static bool wholeNumber(Run &run, std::string_view name, const Value &value, int64_t lowest,
                        int64_t highest, int64_t &number) {
  if (!value.isInteger() || value.integer() < lowest || value.integer() > highest) {
    run.fail("`" + std::string(name) + "` must be a whole number from " + std::to_string(lowest) +
             " to " + std::to_string(highest));
    return false;
  }
  number = value.integer();
  return true;
}

static Value absolute(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "abs", arguments))
    return {};
  return sign(run, input, input.isNumber() && input.real() < 0);
}

static Value attribute(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"name", true}};
  Value values[1];
  if (!bindArguments(run, "attr", arguments, parameters, values))
    return {};
  return realAttributeOf(run, input, textOf(run, values[0]));
}

template <Casing casing>
static Value changeCaseOf(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "case", arguments))
    return {};
  return run.text(changeCase(textOf(run, input), casing));
}

static Value title(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "title", arguments))
    return {};
  // Unlike str.title, words start after white space, hyphens and opening brackets only.
  std::string text = textOf(run, input), titled;
  bool start = true;
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    std::string_view bytes = std::string_view(text).substr(at, point.bytes);
    titled += changeCase(bytes, start ? Casing::Upper : Casing::Lower);
    start =
        isSpace(point.value) ||
        (point.value > 0 && point.value < 0x80 &&
         std::string_view("-({[<").find(static_cast<char>(point.value)) != std::string_view::npos);
    at += point.bytes;
  }
  return run.text(std::move(titled));
}

static Value center(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"width"}};
  Value values[] = {int64_t{80}};
  if (!bindArguments(run, "center", arguments, parameters, values))
    return {};
  return callMethod(run, Value(textOf(run, input)), "center", {{values[0]}, {}});
}

static Value fallback(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"default_value"}, {"boolean"}};
  Value values[] = {"", false};
  if (!bindArguments(run, "default", arguments, parameters, values))
    return {};
  return input.isUndefined() || (isTrue(values[1]) && !isTrue(input)) ? values[0] : input;
}

static Value escape(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "escape", arguments))
    return {};
  return input.isSafe() ? input : run.text(escapeHtml(textOf(run, input)), true);
}

static Value markSafe(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "safe", arguments))
    return {};
  return run.text(textOf(run, input), true);
}

static Value toReal(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"default"}};
  Value values[] = {0.0};
  if (!bindArguments(run, "float", arguments, parameters, values))
    return {};
  double number = 0;
  if (input.isUndefined())
    return run.failUndefined(input);
  if (input.isNumber())
    return input.real();
  return input.text() && readReal(*input.text(), number) ? Value(number) : values[0];
}

static Value toInteger(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"default"}, {"base"}};
  Value values[] = {int64_t{0}, int64_t{10}};
  int64_t base = 10, number = 0;
  if (!bindArguments(run, "int", arguments, parameters, values) ||
      !wholeNumber(run, "base", values[1], 0, 36, base))
    return {};
  if (base == 1)
    return values[0];
  if (input.isUndefined())
    return run.failUndefined(input);
  if (input.isInteger())
    return input.integer();
  double real = 0;
  if (input.text() && readInteger(*input.text(), static_cast<int>(base), number))
    return number;
  if (!input.isNumber() && !(input.text() && readReal(*input.text(), real)))
    return values[0];
  if (input.isNumber())
    real = input.real();
  if (!std::isfinite(real))
    return values[0];
  if (std::fabs(real) >= 0x1p63)
    return run.fail("a whole number leaves 64 bits");
  return static_cast<int64_t>(real);
}

static Value roundNumber(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"precision"}, {"method"}};
  Value values[] = {int64_t{0}, "common"};
  int64_t precision = 0;
  if (!bindArguments(run, "round", arguments, parameters, values) ||
      !wholeNumber(run, "precision", values[0], -15, 300, precision))
    return {};
  if (input.isUndefined())
    return run.failUndefined(input);
  if (!input.isNumber())
    return run.fail("`round` needs a number, found a " + std::string(typeName(input)));
  std::string method = textOf(run, values[1]);
  double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil")
    return std::ceil(input.real() * scale) / scale;
  if (method == "floor")
    return std::floor(input.real() * scale) / scale;
  if (method != "common")
    return run.fail("`round` knows the methods common, ceil and floor, found " +
                    quotePython(method));
  if (input.isInteger() && precision >= 0)
    return input.integer();
  if (precision < 0) {
    double rounded = std::nearbyint(input.real() * scale) / scale;
    if (input.isInteger() && std::fabs(rounded) < 0x1p63)
      return static_cast<int64_t>(rounded);
    return rounded;
  }
  if (!std::isfinite(input.real()))
    return input;
  // The exact decimal value decides, as in Python; printf rounds that one.
  char buffer[640 + 8];
  int length =
      std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), input.real());
  double rounded = 0;
  readReal({buffer, static_cast<size_t>(length)}, rounded);
  return rounded;
}

static Value formatWith(Run &run, const Value &input, const Arguments &arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    return run.fail("`format` takes values either by position or by name");
  std::vector<std::pair<Value, Value>> named;
  named.reserve(arguments.named.size());
  for (const auto &[name, value] : arguments.named)
    named.emplace_back(Value(name), value);
  Value values = named.empty() ? run.list(arguments.positional, Flavour::Tuple)
                               : run.mapping(std::move(named));
  return run.failed() ? Value() : formatPercent(run, textOf(run, input), values);
}

static Value indent(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"width"}, {"first"}, {"blank"}};
  Value values[] = {int64_t{4}, false, false};
  if (!bindArguments(run, "indent", arguments, parameters, values))
    return {};
  int64_t width = 0;
  std::string step;
  if (values[0].text())
    step = *values[0].text();
  else if (wholeNumber(run, "width", values[0], 0, 1000, width))
    step.assign(static_cast<size_t>(width), ' ');
  else
    return {};
  if (!input.text())
    return input.isUndefined()
               ? run.failUndefined(input)
               : run.fail("`indent` needs text, found a " + std::string(typeName(input)));
  std::string text = *input.text() + "\n", indented;
  std::vector<std::string_view> lines = splitLines(text, false);
  if (!run.allocate(lines.size() * (step.size() + sizeof(std::string_view))))
    return {};
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i)
      indented += '\n';
    if (i ? isTrue(values[2]) || !lines[i].empty() : isTrue(values[1]))
      indented += step;
    indented += lines[i];
  }
  return run.text(std::move(indented), input.isSafe());
}

static Value lengthOfValue(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "length", arguments))
    return {};
  if (input.isUndefined())
    return int64_t{0};
  if (input.text())
    return run.step(input.text()->size() / 64) ? static_cast<int64_t>(lengthOf(*input.text()))
                                               : Value();
  if (const Sequence *sequence = input.sequence();
      sequence && sequence->flavour != Flavour::Generator)
    return static_cast<int64_t>(sequence->items.size());
  if (const Mapping *mapping = input.mapping())
    return static_cast<int64_t>(mapping->entries.size());
  return run.fail("a " + std::string(typeName(input)) + " has no length");
}

static Value replaceText(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"old", true}, {"new", true}, {"count"}};
  Value values[] = {{}, {}, None{}};
  if (!bindArguments(run, "replace", arguments, parameters, values))
    return {};
  Arguments passed{{textOf(run, values[0]), textOf(run, values[1])}, {}};
  if (!values[2].isNone())
    passed.positional.push_back(values[2]);
  return callMethod(run, Value(textOf(run, input)), "replace", passed);
}

static Value toText(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "string", arguments))
    return {};
  return input.text() ? input : run.text(print(run, input));
}

static Value toJson(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {
      {"ensure_ascii"}, {"indent"}, {"separators"}, {"sort_keys"}};
  Value values[] = {false, None{}, None{}, false};
  if (!bindArguments(run, "tojson", arguments, parameters, values))
    return {};
  JsonStyle style;
  style.asciiOnly = isTrue(values[0]);
  style.sortKeys = isTrue(values[3]);
  int64_t width = 0;
  if (values[1].text())
    style.indent = *values[1].text();
  else if (!values[1].isNone()) {
    if (!wholeNumber(run, "indent", values[1], 0, 1000, width))
      return {};
    style.indent = std::string(static_cast<size_t>(width), ' ');
  }
  if (style.indent)
    style.itemSeparator = ",";
  if (!values[2].isNone()) {
    const Sequence *pair = values[2].sequence();
    if (!pair || pair->items.size() != 2 || !pair->items[0].text() || !pair->items[1].text())
      return run.fail("`separators` must be two texts");
    style.itemSeparator = *pair->items[0].text();
    style.keySeparator = *pair->items[1].text();
  }
  return run.text(printJson(run, input, style));
}

static Value trim(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"chars"}};
  Value values[] = {None{}};
  if (!bindArguments(run, "trim", arguments, parameters, values))
    return {};
  return callMethod(run, Value(textOf(run, input)), "strip", {{values[0]}, {}});
}

static Value countWords(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindNone(run, "wordcount", arguments))
    return {};
  std::string text = textOf(run, input);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    CodePoint point = codePointAt(text, at);
    bool word = isWord(point.value);
    words += word && !inside;
    inside = word;
    at += point.bytes;
  }
  return words;
}

Filter moec::jinja::findFilter(std::string_view name) {
  static constexpr std::pair<std::string_view, Filter> filters[] = {
      {"abs", absolute},
      {"attr", attribute},
      {"capitalize", changeCaseOf<Casing::Capitalize>},
      {"center", center},
      {"count", lengthOfValue},
      {"d", fallback},
      {"default", fallback},
      {"e", escape},
      {"escape", escape},
      {"float", toReal},
      {"format", formatWith},
      {"indent", indent},
      {"int", toInteger},
      {"length", lengthOfValue},
      {"lower", changeCaseOf<Casing::Lower>},
      {"replace", replaceText},
      {"round", roundNumber},
      {"safe", markSafe},
      {"string", toText},
      {"title", title},
      {"tojson", toJson},
      {"trim", trim},
      {"upper", changeCaseOf<Casing::Upper>},
      {"wordcount", countWords},
  };
  for (const auto &[known, filter] : filters)
    if (known == name)
      return filter;
  return findSequenceFilter(name);
}
