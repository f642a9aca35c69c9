// Values as text: as Python prints them, and as JSON.

#include "runtime/text/JinjaPrint.h"

#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaText.h"

#include <charconv>
#include <cmath>

using namespace moec;
using namespace moec::jinja;

std::string moec::jinja::printReal(double value) {
  if (std::isnan(value))
    return "nan";
  if (std::isinf(value))
    return value < 0 ? "-inf" : "inf";
  char buffer[40];
  std::to_chars_result end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string_view shortest(buffer, static_cast<size_t>(end.ptr - buffer));
  size_t e = shortest.find('e');
  int exponent = 0;
  std::string_view power = shortest.substr(e + 1);
  power.remove_prefix(power[0] == '+');
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (exponent >= -4 && exponent < 16) {
    end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
    std::string text(buffer, static_cast<size_t>(end.ptr - buffer));
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  return std::string(shortest); // to_chars writes the exponent as Python does
}

/// Prints nested values; what is visited is charged, so shared parts cannot blow up unnoticed.
static void append(Run &run, std::string &text, const Value &value, bool quoted, unsigned depth);

static void appendItems(Run &run, std::string &text, const Sequence &sequence, unsigned depth) {
  const char *open = "[", *close = "]";
  switch (sequence.flavour) {
  case Flavour::List:
    break;
  case Flavour::Tuple:
    open = "(";
    close = sequence.items.size() == 1 ? ",)" : ")";
    break;
  case Flavour::Keys:
    open = "dict_keys([";
    close = "])";
    break;
  case Flavour::Values:
    open = "dict_values([";
    close = "])";
    break;
  case Flavour::Items:
    open = "dict_items([";
    close = "])";
    break;
  case Flavour::Range:
    if (!sequence.spelling.empty()) {
      text += sequence.spelling;
      return;
    }
    [[fallthrough]];
  case Flavour::Generator:
    run.fail("a " + std::string(sequence.flavour == Flavour::Range ? "range" : "generator") +
             " cannot be printed; make it a list with `| list`");
    return;
  }
  text += open;
  for (size_t i = 0; i < sequence.items.size() && !run.failed(); ++i) {
    if (i)
      text += ", ";
    append(run, text, sequence.items[i], true, depth);
  }
  text += close;
}

static void append(Run &run, std::string &text, const Value &value, bool quoted, unsigned depth) {
  if (!run.step())
    return;
  if (depth > run.limits.nesting * 2) { // through namespaces, a value may hold itself
    run.fail("a printed value nests too deeply");
    return;
  }
  if (value.isUndefined()) {
    text += quoted ? "Undefined" : "";
  } else if (value.isNone()) {
    text += "None";
  } else if (const bool *truth = value.get<bool>()) {
    text += *truth ? "True" : "False";
  } else if (const int64_t *number = value.get<int64_t>()) {
    text += std::to_string(*number);
  } else if (const double *number = value.get<double>()) {
    text += printReal(*number);
  } else if (const std::string *bytes = value.text()) {
    run.allocate(bytes->size());
    if (quoted && value.isSafe())
      text += "Markup(" + quotePython(*bytes) + ")";
    else
      text += quoted ? quotePython(*bytes) : *bytes;
  } else if (const Sequence *sequence = value.sequence()) {
    appendItems(run, text, *sequence, depth + 1);
  } else if (const Mapping *mapping = value.mapping()) {
    text += '{';
    for (size_t i = 0; i < mapping->entries.size() && !run.failed(); ++i) {
      if (i)
        text += ", ";
      append(run, text, mapping->entries[i].first, true, depth + 1);
      text += ": ";
      append(run, text, mapping->entries[i].second, true, depth + 1);
    }
    text += '}';
  } else if (const Namespace *names = value.names()) {
    text += "<Namespace {";
    bool first = true;
    for (const auto &[name, attribute] : names->attributes) {
      text += (first ? "" : ", ") + quotePython(name) + ": ";
      append(run, text, attribute, true, depth + 1);
      first = false;
    }
    text += "}>";
  } else {
    run.fail("a " + std::string(typeName(value)) + " cannot be printed");
  }
}

std::string moec::jinja::print(Run &run, const Value &value) {
  std::string text;
  append(run, text, value, false, 0);
  return text;
}

std::string moec::jinja::printQuoted(Run &run, const Value &value) {
  std::string text;
  append(run, text, value, true, 0);
  return text;
}

namespace {

/// Writes one value as JSON.
struct JsonPrinter {
  Run &run;
  const JsonStyle &style;
  std::string text;
  unsigned depth = 0;

  void newLine() {
    if (!style.indent)
      return;
    text += '\n';
    for (unsigned i = 0; i < depth; ++i)
      text += *style.indent;
  }
  void print(const Value &value);
  void printItems(const std::vector<Value> &items);
  void printEntries(const Mapping &mapping);
  std::string key(const Value &value);
};

} // namespace

static std::string jsonReal(double value) {
  if (std::isnan(value))
    return "NaN";
  if (std::isinf(value))
    return value < 0 ? "-Infinity" : "Infinity";
  return printReal(value);
}

std::string JsonPrinter::key(const Value &value) {
  if (const std::string *name = value.text())
    return *name;
  if (const bool *truth = value.get<bool>())
    return *truth ? "true" : "false";
  if (const int64_t *number = value.get<int64_t>())
    return std::to_string(*number);
  if (const double *number = value.get<double>())
    return jsonReal(*number);
  if (!value.isNone())
    run.fail("a key of type " + std::string(typeName(value)) + " cannot become JSON");
  return "null";
}

void JsonPrinter::printItems(const std::vector<Value> &items) {
  text += '[';
  ++depth;
  for (size_t i = 0; i < items.size() && !run.failed(); ++i) {
    if (i)
      text += style.itemSeparator;
    newLine();
    print(items[i]);
  }
  --depth;
  if (!items.empty())
    newLine();
  text += ']';
}

void JsonPrinter::printEntries(const Mapping &mapping) {
  std::vector<size_t> order;
  if (style.sortKeys) {
    std::vector<Value> keys;
    keys.reserve(mapping.entries.size());
    for (const auto &[key, value] : mapping.entries)
      keys.push_back(key);
    order = sortedOrder(run, keys, false);
  }
  text += '{';
  ++depth;
  for (size_t i = 0; i < mapping.entries.size() && !run.failed(); ++i) {
    const auto &[name, value] = mapping.entries[style.sortKeys ? order[i] : i];
    if (i)
      text += style.itemSeparator;
    newLine();
    text += quoteJson(key(name), style.asciiOnly) + style.keySeparator;
    print(value);
  }
  --depth;
  if (!mapping.entries.empty())
    newLine();
  text += '}';
}

void JsonPrinter::print(const Value &value) {
  if (!run.step() || !run.allocate(style.indent ? depth * style.indent->size() : 0))
    return;
  if (value.isNone()) {
    text += "null";
  } else if (const bool *truth = value.get<bool>()) {
    text += *truth ? "true" : "false";
  } else if (const int64_t *number = value.get<int64_t>()) {
    text += std::to_string(*number);
  } else if (const double *number = value.get<double>()) {
    text += jsonReal(*number);
  } else if (const std::string *bytes = value.text()) {
    if (run.allocate(bytes->size()))
      text += quoteJson(*bytes, style.asciiOnly);
  } else if (const Mapping *mapping = value.mapping()) {
    printEntries(*mapping);
  } else if (const Sequence *sequence = value.sequence();
             sequence &&
             (sequence->flavour == Flavour::List || sequence->flavour == Flavour::Tuple)) {
    printItems(sequence->items);
  } else if (value.isUndefined()) {
    run.failUndefined(value);
  } else {
    run.fail("a " + std::string(typeName(value)) + " cannot become JSON");
  }
}

std::string moec::jinja::printJson(Run &run, const Value &value, const JsonStyle &style) {
  JsonPrinter printer{run, style, {}};
  printer.print(value);
  return std::move(printer.text);
}
