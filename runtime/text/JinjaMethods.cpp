// Methods of text and mappings, and attributes and items of every kind of value.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <algorithm>

using namespace moec;
using namespace moec::jinja;

using Names = std::span<const std::string_view>;

static bool among(Names names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

static Names methodsOf(const Value &self) {
  static constexpr std::string_view texts[] = {
      "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
      "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
      "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
      "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
      "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
      "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
      "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
      "swapcase",     "title",       "translate", "upper",      "zfill"};
  static constexpr std::string_view lists[] = {"append", "clear",   "copy",   "count",
                                               "extend", "index",   "insert", "pop",
                                               "remove", "reverse", "sort"};
  static constexpr std::string_view tuples[] = {"count", "index"};
  static constexpr std::string_view mappings[] = {"clear",      "copy",   "fromkeys", "get",
                                                  "items",      "keys",   "pop",      "popitem",
                                                  "setdefault", "update", "values"};
  if (self.text())
    return texts;
  if (self.mapping())
    return mappings;
  if (const Sequence *sequence = self.sequence()) {
    if (sequence->flavour == Flavour::List)
      return lists;
    if (sequence->flavour == Flavour::Tuple)
      return tuples;
  }
  return {};
}

bool moec::jinja::hasMethod(const Value &self, std::string_view name) {
  return among(methodsOf(self), name);
}

bool moec::jinja::isMutator(const Value &self, std::string_view name) {
  static constexpr std::string_view lists[] = {"append", "clear",  "extend",  "insert",
                                               "pop",    "remove", "reverse", "sort"};
  static constexpr std::string_view mappings[] = {"clear", "pop", "popitem", "setdefault",
                                                  "update"};
  return among(self.mapping() ? Names(mappings) : self.sequence() ? Names(lists) : Names(), name);
}

/// A method of text: the text, its arguments by position, and its name.
struct TextCall {
  Run &run;
  const std::string &text;
  std::string_view name;
  std::span<Value> values;

  /// Text given as argument `i`, none if it is None; fails on other kinds.
  std::optional<std::string_view> part(size_t i) {
    if (values[i].text())
      return *values[i].text();
    if (values[i].isUndefined())
      run.failUndefined(values[i]);
    else if (!values[i].isNone())
      run.fail("`" + std::string(name) + "` needs text, found a " +
               std::string(typeName(values[i])));
    return std::nullopt;
  }
  int64_t number(size_t i) {
    if (values[i].isInteger())
      return values[i].integer();
    run.fail("`" + std::string(name) + "` needs a whole number, found a " +
             std::string(typeName(values[i])));
    return 0;
  }
  Value list(const std::vector<std::string_view> &parts, Flavour flavour = Flavour::List) {
    std::vector<Value> items;
    items.reserve(parts.size());
    for (std::string_view part : parts)
      items.push_back(run.text(std::string(part)));
    return run.list(std::move(items), flavour);
  }
};

static Value stripText(TextCall call) {
  return call.run.text(
      std::string(strip(call.text, call.part(0), call.name != "rstrip", call.name != "lstrip")));
}

static Value splitText(TextCall call) {
  std::optional<std::string_view> separator = call.part(0);
  int64_t most = call.number(1);
  if (separator && separator->empty())
    return call.run.fail("`split` needs a separator that is not empty");
  return call.run.failed() ? Value()
                           : call.list(split(call.text, separator, most, call.name == "rsplit"));
}

static Value partitionText(TextCall call) {
  std::optional<std::string_view> separator = call.part(0);
  if (!separator || separator->empty())
    return call.run.fail("`partition` needs a separator that is not empty");
  bool right = call.name == "rpartition";
  std::string_view text = call.text;
  size_t at = right ? text.rfind(*separator) : text.find(*separator);
  if (at == std::string_view::npos)
    return right ? call.list({"", "", text}, Flavour::Tuple)
                 : call.list({text, "", ""}, Flavour::Tuple);
  return call.list({text.substr(0, at), *separator, text.substr(at + separator->size())},
                   Flavour::Tuple);
}

/// The part of the text from code point `values[first]` to `values[first + 1]`; its start in bytes.
static std::string_view window(TextCall &call, size_t first, size_t &start) {
  start = 0;
  if (call.values[first].isNone() && call.values[first + 1].isNone())
    return call.text;
  std::vector<size_t> offsets = offsetsOf(call.text);
  int64_t size = static_cast<int64_t>(offsets.size()) - 1;
  int64_t bounds[2] = {0, size};
  for (size_t i = 0; i < 2; ++i) {
    if (call.values[first + i].isNone())
      continue;
    int64_t at = call.number(first + i);
    bounds[i] = std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  }
  start = offsets[static_cast<size_t>(bounds[0])];
  size_t end = std::max(offsets[static_cast<size_t>(bounds[1])], start);
  return std::string_view(call.text).substr(start, end - start);
}

static Value affixed(TextCall call) {
  size_t start = 0;
  std::string_view text = window(call, 1, start);
  const Sequence *several = call.values[0].sequence();
  std::vector<Value> affixes = {call.values[0]};
  if (several && several->flavour == Flavour::Tuple)
    affixes = several->items;
  for (Value &affix : affixes) {
    TextCall one{call.run, call.text, call.name, std::span<Value>(&affix, 1)};
    std::optional<std::string_view> part = one.part(0);
    if (!part)
      return call.run.fail("`" + std::string(call.name) + "` needs text");
    if (call.name == "startswith" ? text.starts_with(*part) : text.ends_with(*part))
      return true;
  }
  return false;
}

static Value findText(TextCall call) {
  size_t start = 0;
  std::string_view text = window(call, 1, start);
  std::optional<std::string_view> part = call.part(0);
  if (!part)
    return call.run.fail("`" + std::string(call.name) + "` needs text");
  if (call.name == "count") {
    if (part->empty())
      return static_cast<int64_t>(lengthOf(text)) + 1;
    int64_t count = 0;
    for (size_t at = text.find(*part); at != std::string_view::npos;
         at = text.find(*part, at + part->size()))
      ++count;
    return count;
  }
  size_t at = call.name[0] == 'r' ? text.rfind(*part) : text.find(*part);
  if (at != std::string_view::npos)
    return static_cast<int64_t>(lengthOf(std::string_view(call.text).substr(0, start + at)));
  if (call.name.ends_with("index"))
    return call.run.fail("`" + std::string(call.name) + "` does not find " + quotePython(*part));
  return int64_t{-1};
}

static Value replaceText(TextCall call) {
  std::optional<std::string_view> from = call.part(0), to = call.part(1);
  if (!from || !to)
    return call.run.fail("`replace` needs two texts");
  // What it makes is bounded before it is made.
  size_t places = from->empty() ? call.text.size() + 1 : call.text.size() / from->size();
  if (to->size() && places > call.run.limits.bytes / to->size())
    return call.run.fail("`replace` makes too much text");
  int64_t most = call.number(2);
  return call.run.failed() ? Value() : call.run.text(replace(call.text, *from, *to, most));
}

static Value padText(TextCall call) {
  int64_t width = call.number(0);
  std::optional<std::string_view> fill = call.name == "zfill" ? "0" : call.part(1);
  if (!fill || lengthOf(*fill) != 1)
    return call.run.fail("`" + std::string(call.name) + "` fills with one character");
  // Checked first: what follows subtracts from it and multiplies it.
  if (width > static_cast<int64_t>(call.run.limits.bytes))
    return call.run.fail("`" + std::string(call.name) + "` makes too much text");
  int64_t missing = std::max<int64_t>(width, 0) - static_cast<int64_t>(lengthOf(call.text));
  if (missing <= 0)
    return call.run.text(call.text);
  if (!call.run.allocate(static_cast<size_t>(missing) * fill->size()))
    return {};
  int64_t left = call.name == "ljust" ? 0 : missing;
  if (call.name == "center") // the odd one goes left where the width is odd
    left = missing / 2 + (missing & width & 1);
  std::string padded;
  std::string_view text = call.text;
  if (call.name == "zfill" && (text.starts_with('-') || text.starts_with('+'))) {
    padded += text[0];
    text.remove_prefix(1);
  }
  for (int64_t i = 0; i < left; ++i)
    padded += *fill;
  padded += text;
  for (int64_t i = left; i < missing; ++i)
    padded += *fill;
  return call.run.text(std::move(padded));
}

static Value joinText(TextCall call) {
  std::string joined;
  bool between = false;
  for (const Value &item : iterate(call.run, call.values[0])) {
    if (!item.text())
      return call.run.fail("`join` joins text, found a " + std::string(typeName(item)));
    if (between)
      joined += call.text;
    between = true;
    joined += *item.text();
    if (!call.run.allocate(call.text.size() + item.text()->size()))
      return {};
  }
  return call.run.text(std::move(joined));
}

static Value removeAffix(TextCall call) {
  std::optional<std::string_view> affix = call.part(0);
  std::string_view text = call.text;
  if (affix && call.name == "removeprefix" && text.starts_with(*affix))
    text.remove_prefix(affix->size());
  else if (affix && call.name == "removesuffix" && text.ends_with(*affix))
    text.remove_suffix(affix->size());
  return affix ? call.run.text(std::string(text)) : call.run.fail("an affix must be text");
}

static Value splitIntoLines(TextCall call) {
  return call.list(splitLines(call.text, isTrue(call.values[0])));
}

template <Casing casing> static Value withCase(TextCall call) {
  return call.run.text(changeCase(call.text, casing));
}
template <Nature nature> static Value ofNature(TextCall call) { return isAll(call.text, nature); }

namespace {

struct TextMethod {
  std::string_view name;
  Value (*call)(TextCall);
  Parameter parameters[3] = {};
  unsigned count = 0;     ///< parameters there are
  bool unlimited = false; ///< the last one is a number, and -1 (no limit) if left out
};

} // namespace

static constexpr TextMethod textMethods[] = {
    {"capitalize", withCase<Casing::Capitalize>},
    {"casefold", withCase<Casing::Lower>},
    {"center", padText, {{"width", true}, {"fillchar"}}, 2},
    {"count", findText, {{"sub", true}, {"start"}, {"end"}}, 3},
    {"endswith", affixed, {{"suffix", true}, {"start"}, {"end"}}, 3},
    {"find", findText, {{"sub", true}, {"start"}, {"end"}}, 3},
    {"index", findText, {{"sub", true}, {"start"}, {"end"}}, 3},
    {"isalnum", ofNature<Nature::Alnum>},
    {"isalpha", ofNature<Nature::Alpha>},
    {"isascii", ofNature<Nature::Ascii>},
    {"isdecimal", ofNature<Nature::Digit>},
    {"isdigit", ofNature<Nature::Digit>},
    {"islower", ofNature<Nature::Lower>},
    {"isnumeric", ofNature<Nature::Digit>},
    {"isspace", ofNature<Nature::Space>},
    {"isupper", ofNature<Nature::Upper>},
    {"join", joinText, {{"iterable", true}}, 1},
    {"ljust", padText, {{"width", true}, {"fillchar"}}, 2},
    {"lower", withCase<Casing::Lower>},
    {"lstrip", stripText, {{"chars"}}, 1},
    {"partition", partitionText, {{"sep", true}}, 1},
    {"removeprefix", removeAffix, {{"prefix", true}}, 1},
    {"removesuffix", removeAffix, {{"suffix", true}}, 1},
    {"replace", replaceText, {{"old", true}, {"new", true}, {"count"}}, 3, true},
    {"rfind", findText, {{"sub", true}, {"start"}, {"end"}}, 3},
    {"rindex", findText, {{"sub", true}, {"start"}, {"end"}}, 3},
    {"rjust", padText, {{"width", true}, {"fillchar"}}, 2},
    {"rpartition", partitionText, {{"sep", true}}, 1},
    {"rsplit", splitText, {{"sep"}, {"maxsplit"}}, 2, true},
    {"rstrip", stripText, {{"chars"}}, 1},
    {"split", splitText, {{"sep"}, {"maxsplit"}}, 2, true},
    {"splitlines", splitIntoLines, {{"keepends"}}, 1},
    {"startswith", affixed, {{"prefix", true}, {"start"}, {"end"}}, 3},
    {"strip", stripText, {{"chars"}}, 1},
    {"swapcase", withCase<Casing::Swap>},
    {"title", withCase<Casing::Title>},
    {"upper", withCase<Casing::Upper>},
    {"zfill", padText, {{"width", true}}, 1},
};

static Value callTextMethod(Run &run, const Value &self, std::string_view name,
                            const Arguments &arguments) {
  if (!run.allocate(self.text()->size()))
    return {};
  if (name == "format")
    return formatBraces(run, *self.text(), arguments);
  for (const TextMethod &method : textMethods) {
    if (method.name != name)
      continue;
    Value values[3] = {None{}, None{}, None{}};
    if (method.call == padText)
      values[1] = " ";
    if (method.unlimited)
      values[method.count - 1] = int64_t{-1};
    if (!bindArguments(run, name, arguments, std::span(method.parameters, method.count),
                       std::span(values, method.count)))
      return {};
    return method.call({run, *self.text(), name, values});
  }
  return run.fail("the method `" + std::string(name) + "` of text is not supported",
                  Code::Unsupported);
}

static Value callMappingMethod(Run &run, const Value &self, std::string_view name,
                               const Arguments &arguments) {
  const Mapping &mapping = *self.mapping();
  if (name == "get") {
    static constexpr Parameter parameters[] = {{"key", true}, {"default"}};
    Value values[] = {{}, None{}};
    if (!bindArguments(run, name, arguments, parameters, values))
      return {};
    const Value *found = find(run, mapping, values[0]);
    return found ? *found : values[1];
  }
  if (!bindArguments(run, name, arguments, {}, {}))
    return {};
  if (name == "copy")
    return self;
  std::vector<Value> items;
  items.reserve(mapping.entries.size());
  for (const auto &[key, value] : mapping.entries)
    items.push_back(name == "keys"     ? key
                    : name == "values" ? value
                                       : run.list({key, value}, Flavour::Tuple));
  if (name == "keys" || name == "values" || name == "items")
    return run.list(std::move(items), name == "keys"     ? Flavour::Keys
                                      : name == "values" ? Flavour::Values
                                                         : Flavour::Items);
  return run.fail("the method `" + std::string(name) + "` of a mapping is not supported",
                  Code::Unsupported);
}

static Value callSequenceMethod(Run &run, const Value &self, std::string_view name,
                                const Arguments &arguments) {
  const std::vector<Value> &items = self.sequence()->items;
  if (name == "copy" && bindArguments(run, name, arguments, {}, {}))
    return self;
  static constexpr Parameter parameters[] = {{"value", true}};
  Value value;
  if (run.failed() || !bindArguments(run, name, arguments, parameters, std::span<Value>(&value, 1)))
    return {};
  int64_t count = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    bool same = equal(run, items[i], value);
    if (same && name == "index")
      return static_cast<int64_t>(i);
    count += same;
  }
  if (name == "index")
    return run.fail("`index` does not find the value in the list");
  return count;
}

/// What a method makes of safe text is safe again, also inside of a list.
static Value markSafe(Run &run, const Value &value) {
  if (const Text *text = value.get<Text>())
    return Text{text->bytes, true};
  const Sequence *sequence = value.sequence();
  if (!sequence)
    return value;
  std::vector<Value> items;
  items.reserve(sequence->items.size());
  for (const Value &item : sequence->items)
    items.push_back(markSafe(run, item));
  return run.list(std::move(items), sequence->flavour);
}

Value moec::jinja::callMethod(Run &run, const Value &self, std::string_view name,
                              const Arguments &arguments) {
  if (self.isSafe()) {
    static constexpr std::string_view inserting[] = {"replace", "join",  "format",
                                                     "center",  "ljust", "rjust"};
    if (among(inserting, name))
      return run.fail("the method `" + std::string(name) +
                          "` is not supported on text marked as safe",
                      Code::Unsupported);
    return markSafe(run, callTextMethod(run, self, name, arguments));
  }
  if (self.text())
    return callTextMethod(run, self, name, arguments);
  if (self.mapping())
    return callMappingMethod(run, self, name, arguments);
  return callSequenceMethod(run, self, name, arguments);
}

static Value loopAttribute(Run &run, const Value &object, std::string_view name) {
  const Loop &loop = *object.loop();
  int64_t index = static_cast<int64_t>(loop.index), size = static_cast<int64_t>(loop.items.size());
  if (name == "index")
    return index + 1;
  if (name == "index0")
    return index;
  if (name == "revindex")
    return size - index;
  if (name == "revindex0")
    return size - index - 1;
  if (name == "first")
    return index == 0;
  if (name == "last")
    return index == size - 1;
  if (name == "length")
    return size;
  if (name == "depth")
    return static_cast<int64_t>(loop.level) + 1;
  if (name == "depth0")
    return static_cast<int64_t>(loop.level);
  if (name == "previtem" || name == "nextitem") {
    int64_t other = name == "previtem" ? index - 1 : index + 1;
    if (other >= 0 && other < size)
      return loop.items[static_cast<size_t>(other)];
    return Undefined{std::make_shared<const std::string>("there is no " + std::string(name))};
  }
  if (name == "cycle" || name == "changed")
    return std::make_shared<const Callable>(
        Callable{name == "cycle" ? Callable::Kind::LoopCycle : Callable::Kind::LoopChanged,
                 name == "cycle" ? "cycle" : "changed", object, nullptr, nullptr});
  (void)run;
  return Undefined{
      std::make_shared<const std::string>("`loop` has no attribute `" + std::string(name) + "`")};
}

static Value missing(const Value &object, std::string_view name) {
  return Undefined{std::make_shared<const std::string>("a " + std::string(typeName(object)) +
                                                       " has no `" + std::string(name) + "`")};
}

/// A real attribute, as opposed to an item; undefined and `found` false if there is none.
static Value realAttribute(Run &run, const Value &object, std::string_view name, bool &found) {
  found = true;
  if (const Namespace *names = object.names()) {
    auto at = names->attributes.find(name);
    if (at != names->attributes.end())
      return at->second;
  } else if (object.loop()) {
    return loopAttribute(run, object, name);
  } else if (hasMethod(object, name)) {
    if (isMutator(object, name))
      return Undefined{std::make_shared<const std::string>("templates may not change a " +
                                                           std::string(typeName(object)) +
                                                           " with `" + std::string(name) + "`")};
    Names names = methodsOf(object); // its spelling lives longer than the caller's
    return std::make_shared<const Callable>(Callable{Callable::Kind::Method,
                                                     *std::find(names.begin(), names.end(), name),
                                                     object, nullptr, nullptr});
  }
  found = false;
  return {};
}

Value moec::jinja::realAttributeOf(Run &run, const Value &object, std::string_view name) {
  if (object.isUndefined())
    return run.failUndefined(object);
  bool found = false;
  Value value = realAttribute(run, object, name, found);
  return found ? value : missing(object, name);
}

Value moec::jinja::attributeOf(Run &run, const Value &object, std::string_view name) {
  if (object.isUndefined())
    return run.failUndefined(object);
  bool found = false;
  Value value = realAttribute(run, object, name, found);
  if (found)
    return value;
  const Mapping *mapping = object.mapping();
  const Value *item = mapping ? find(*mapping, name) : nullptr;
  return item ? *item : missing(object, name);
}

Value moec::jinja::itemOf(Run &run, const Value &object, const Value &key) {
  if (object.isUndefined())
    return run.failUndefined(object);
  if (const Mapping *mapping = object.mapping(); mapping && isHashable(key)) {
    if (const Value *item = find(run, *mapping, key))
      return *item;
  }
  const Sequence *sequence = object.sequence();
  if (key.isInteger() && sequence && sequence->flavour <= Flavour::Range) {
    int64_t size = static_cast<int64_t>(sequence->items.size()), at = key.integer();
    if (at < 0 && at >= -size)
      at += size;
    if (at >= 0 && at < size)
      return sequence->items[static_cast<size_t>(at)];
  } else if (const std::string *text = object.text(); text && key.isInteger()) {
    // The common `text[0]` is cheap; others count code points.
    int64_t at = key.integer();
    if (at == 0 && !text->empty())
      return Value(text->substr(0, codePointAt(*text, 0).bytes), object.isSafe());
    if (!run.allocate(text->size() * sizeof(size_t)))
      return {};
    std::vector<size_t> offsets = offsetsOf(*text);
    int64_t size = static_cast<int64_t>(offsets.size()) - 1;
    if (at < 0 && at >= -size)
      at += size;
    if (at >= 0 && at < size) {
      size_t start = offsets[static_cast<size_t>(at)];
      return Value(text->substr(start, offsets[static_cast<size_t>(at) + 1] - start),
                   object.isSafe());
    }
  } else if (const std::string *name = key.text()) {
    bool found = false;
    Value value = realAttribute(run, object, *name, found);
    if (found)
      return value;
  }
  std::string name = key.text() ? *key.text() : printQuoted(run, key);
  return missing(object, name);
}
