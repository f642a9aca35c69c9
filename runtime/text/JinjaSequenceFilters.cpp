// Filters that take or give sequences.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <algorithm>

using namespace moec;
using namespace moec::jinja;

static Value undefined(std::string message) {
  return Undefined{std::make_shared<const std::string>(std::move(message))};
}

/// The item at a path such as `function.name` or `0`; none as path gives the value itself.
static Value itemAt(Run &run, Value value, const Value &path, const Value &fallback = None{}) {
  if (path.isNone())
    return value;
  if (!path.text())
    return itemOf(run, value, path);
  for (std::string_view part : split(*path.text(), ".", -1, false)) {
    int64_t index = 0;
    value = itemOf(run, value,
                   isAll(part, Nature::Digit) && readInteger(part, 10, index) ? Value(index)
                                                                              : Value(part));
    if (value.isUndefined() && !fallback.isNone())
      value = fallback;
    if (run.failed())
      break;
  }
  return value;
}

/// What a value is sorted or compared by: text without regard to case, unless that is asked for.
static Value keyOf(Run &run, const Value &value, const Value &path, bool cased,
                   const Value &fallback = None{}) {
  Value key = itemAt(run, value, path, fallback);
  return key.text() && !cased ? run.text(changeCase(*key.text(), Casing::Lower)) : key;
}

static Value sortItems(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"reverse"}, {"case_sensitive"}, {"attribute"}};
  Value values[] = {false, false, None{}};
  if (!bindArguments(run, "sort", arguments, parameters, values))
    return {};
  std::vector<Value> items = iterate(run, input), keys, sorted;
  for (const Value &item : items) {
    if (!values[2].text()) {
      keys.push_back(keyOf(run, item, values[2], isTrue(values[1])));
      continue;
    }
    std::vector<Value> several; // `a,b` sorts by a, then by b
    for (std::string_view path : split(*values[2].text(), ",", -1, false))
      several.push_back(keyOf(run, item, Value(path), isTrue(values[1])));
    keys.push_back(run.list(std::move(several)));
  }
  for (size_t i : sortedOrder(run, keys, isTrue(values[0])))
    sorted.push_back(items[i]);
  return run.list(std::move(sorted));
}

static Value sortEntries(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"case_sensitive"}, {"by"}, {"reverse"}};
  Value values[] = {false, "key", false};
  if (!bindArguments(run, "dictsort", arguments, parameters, values))
    return {};
  const Mapping *mapping = input.mapping();
  if (!mapping)
    return run.fail("`dictsort` needs a mapping, found a " + std::string(typeName(input)));
  const std::string *by = values[1].text();
  if (!by || (*by != "key" && *by != "value"))
    return run.fail("`dictsort` goes by key or by value");
  std::vector<Value> keys, sorted;
  for (const auto &[key, value] : mapping->entries)
    keys.push_back(keyOf(run, *by == "key" ? key : value, None{}, isTrue(values[0])));
  for (size_t i : sortedOrder(run, keys, isTrue(values[2])))
    sorted.push_back(
        run.list({mapping->entries[i].first, mapping->entries[i].second}, Flavour::Tuple));
  return run.list(std::move(sorted));
}

static Value group(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"attribute", true}, {"default"}, {"case_sensitive"}};
  Value values[] = {{}, None{}, false};
  if (!bindArguments(run, "groupby", arguments, parameters, values))
    return {};
  std::vector<Value> items = iterate(run, input), keys, groups;
  for (const Value &item : items)
    keys.push_back(keyOf(run, item, values[0], isTrue(values[2]), values[1]));
  std::vector<size_t> order = sortedOrder(run, keys, false);
  for (size_t i = 0; i < order.size() && !run.failed();) {
    std::vector<Value> members;
    size_t first = order[i];
    for (; i < order.size() && equal(run, keys[order[i]], keys[first]); ++i)
      members.push_back(items[order[i]]);
    if (members.empty()) // a key that does not equal itself
      members.push_back(items[order[i++]]);
    groups.push_back(
        run.list({itemAt(run, items[first], values[0], values[1]), run.list(std::move(members))},
                 Flavour::Tuple));
  }
  return run.list(std::move(groups));
}

static Value unique(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"case_sensitive"}, {"attribute"}};
  Value values[] = {false, None{}};
  if (!bindArguments(run, "unique", arguments, parameters, values))
    return {};
  std::vector<Value> seen, kept;
  for (const Value &item : iterate(run, input)) {
    Value key = keyOf(run, item, values[1], isTrue(values[0]));
    if (!isHashable(key))
      return run.fail("`unique` cannot compare a " + std::string(typeName(key)));
    bool known = std::any_of(seen.begin(), seen.end(),
                             [&](const Value &other) { return equal(run, key, other); });
    if (run.failed())
      return {};
    if (!known) {
      seen.push_back(std::move(key));
      kept.push_back(item);
    }
  }
  return run.list(std::move(kept), Flavour::Generator);
}

template <bool greatest>
static Value extreme(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"case_sensitive"}, {"attribute"}};
  Value values[] = {false, None{}};
  if (!bindArguments(run, greatest ? "max" : "min", arguments, parameters, values))
    return {};
  std::vector<Value> items = iterate(run, input);
  if (items.empty())
    return undefined("the greatest or least item of nothing is used");
  size_t best = 0;
  Value bestKey = keyOf(run, items[0], values[1], isTrue(values[0]));
  for (size_t i = 1; i < items.size() && !run.failed(); ++i) {
    Value key = keyOf(run, items[i], values[1], isTrue(values[0]));
    if (greatest ? less(run, bestKey, key) : less(run, key, bestKey)) {
      best = i;
      bestKey = std::move(key);
    }
  }
  return items[best];
}

static Value first(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindArguments(run, "first", arguments, {}, {}))
    return {};
  Sequence *sequence = input.sequence();
  if (sequence && sequence->flavour == Flavour::Generator && // takes that one item only
      sequence->taken < sequence->items.size())
    return sequence->items[sequence->taken++];
  if (const std::string *text = input.text(); text && !text->empty())
    return Value(text->substr(0, codePointAt(*text, 0).bytes));
  std::vector<Value> items = iterate(run, input);
  return items.empty() ? undefined("the first item of nothing is used") : items[0];
}

static Value last(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindArguments(run, "last", arguments, {}, {}))
    return {};
  if (input.sequence() && input.sequence()->flavour == Flavour::Generator)
    return run.fail("a generator has no last item; make it a list with `| list`");
  std::vector<Value> items = iterate(run, input);
  return items.empty() ? undefined("the last item of nothing is used") : items.back();
}

static Value reverse(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindArguments(run, "reverse", arguments, {}, {}))
    return {};
  if (input.text())
    return slice(run, input, {}, {}, Value(int64_t{-1}));
  std::vector<Value> items = iterate(run, input);
  std::reverse(items.begin(), items.end());
  return run.list(std::move(items), Flavour::Generator);
}

static Value list(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "list", arguments, {}, {}) ? run.list(iterate(run, input)) : Value();
}

static Value items(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindArguments(run, "items", arguments, {}, {}))
    return {};
  if (input.isUndefined())
    return run.list({}, Flavour::Generator);
  const Mapping *mapping = input.mapping();
  if (!mapping)
    return run.fail("`items` needs a mapping, found a " + std::string(typeName(input)));
  std::vector<Value> pairs;
  pairs.reserve(mapping->entries.size());
  for (const auto &[key, value] : mapping->entries)
    pairs.push_back(run.list({key, value}, Flavour::Tuple));
  return run.list(std::move(pairs), Flavour::Generator);
}

static Value join(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"d"}, {"attribute"}};
  Value values[] = {"", None{}};
  if (!bindArguments(run, "join", arguments, parameters, values))
    return {};
  std::string separator = print(run, values[0]), joined;
  bool between = false;
  for (const Value &item : iterate(run, input)) {
    if (between)
      joined += separator;
    between = true;
    joined += print(run, itemAt(run, item, values[1]));
    if (!run.allocate(separator.size()))
      return {};
  }
  return run.text(std::move(joined));
}

static Value sum(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"attribute"}, {"start"}};
  Value values[] = {None{}, int64_t{0}};
  if (!bindArguments(run, "sum", arguments, parameters, values))
    return {};
  Value total = values[1];
  for (const Value &item : iterate(run, input)) {
    total = calculate(run, "+", total, itemAt(run, item, values[0]));
    if (run.failed())
      break;
  }
  return total;
}

static Value batch(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"linecount", true}, {"fill_with"}};
  Value values[] = {{}, None{}};
  if (!bindArguments(run, "batch", arguments, parameters, values))
    return {};
  if (!values[0].isInteger() || values[0].integer() < 1 || values[0].integer() > 100'000)
    return run.fail("`linecount` must be a whole number from 1 to 100000");
  size_t count = static_cast<size_t>(values[0].integer());
  std::vector<Value> rows, row;
  for (const Value &item : iterate(run, input)) {
    row.push_back(item);
    if (row.size() == count)
      rows.push_back(run.list(std::exchange(row, {})));
  }
  if (!row.empty()) {
    if (!values[1].isNone() && run.step(count))
      row.resize(count, values[1]);
    rows.push_back(run.list(std::move(row)));
  }
  return run.list(std::move(rows), Flavour::Generator);
}

static Value sliceEvenly(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr Parameter parameters[] = {{"slices", true}, {"fill_with"}};
  Value values[] = {{}, None{}};
  if (!bindArguments(run, "slice", arguments, parameters, values))
    return {};
  if (!values[0].isInteger() || values[0].integer() < 1 || values[0].integer() > 100'000)
    return run.fail("`slices` must be a whole number from 1 to 100000");
  size_t slices = static_cast<size_t>(values[0].integer());
  std::vector<Value> all = iterate(run, input), columns;
  size_t least = all.size() / slices, longer = all.size() % slices, next = 0;
  for (size_t i = 0; i < slices && run.step(); ++i) {
    size_t count = least + (i < longer);
    std::vector<Value> column(all.begin() + static_cast<ptrdiff_t>(next),
                              all.begin() + static_cast<ptrdiff_t>(next + count));
    next += count;
    if (!values[1].isNone() && i >= longer)
      column.push_back(values[1]);
    columns.push_back(run.list(std::move(column)));
  }
  return run.list(std::move(columns), Flavour::Generator);
}

/// Takes the first positional argument away; false if there is none.
static bool takeFirst(Arguments &arguments, Value &value) {
  if (arguments.positional.empty())
    return false;
  value = arguments.positional[0];
  arguments.positional.erase(arguments.positional.begin());
  return true;
}

static Value map(Run &run, const Value &input, const Arguments &arguments) {
  if (!isTrue(input)) // so that none and undefined give nothing
    return run.list({}, Flavour::Generator);
  Arguments rest = arguments;
  Value name, path, fallback = None{};
  Filter filter = nullptr;
  if (takeFirst(rest, name)) {
    filter = name.text() ? findFilter(*name.text()) : nullptr;
    if (!filter)
      return run.fail("`map` needs a filter's name or `attribute=`, found " +
                          printQuoted(run, name),
                      Code::Unsupported);
  } else {
    static constexpr Parameter parameters[] = {{"attribute", true}, {"default"}};
    Value values[] = {{}, None{}};
    if (!bindArguments(run, "map", rest, parameters, values))
      return {};
    path = values[0];
    fallback = values[1];
  }
  std::vector<Value> mapped;
  for (const Value &item : iterate(run, input)) {
    mapped.push_back(filter ? filter(run, item, rest) : itemAt(run, item, path, fallback));
    if (!run.step())
      return {};
  }
  return run.list(std::move(mapped), Flavour::Generator);
}

template <bool keep, bool byAttribute>
static Value choose(Run &run, const Value &input, const Arguments &arguments) {
  if (!isTrue(input)) // so that none and undefined give nothing
    return run.list({}, Flavour::Generator);
  Arguments rest = arguments;
  Value path = None{}, name;
  if (byAttribute && !takeFirst(rest, path))
    return run.fail("`selectattr` and `rejectattr` need the name of an attribute");
  Test test = nullptr;
  if (takeFirst(rest, name)) {
    test = name.text() ? findTest(*name.text()) : nullptr;
    if (!test)
      return run.fail("there is no test " + printQuoted(run, name), Code::Unsupported);
  }
  std::vector<Value> kept;
  for (const Value &item : iterate(run, input)) {
    Value tested = itemAt(run, item, path);
    bool passed = test ? test(run, tested, rest) : isTrue(tested);
    if (!run.step())
      return {};
    if (passed == keep)
      kept.push_back(item);
  }
  return run.list(std::move(kept), Flavour::Generator);
}

Filter moec::jinja::findSequenceFilter(std::string_view name) {
  static constexpr std::pair<std::string_view, Filter> filters[] = {
      {"batch", batch},
      {"dictsort", sortEntries},
      {"first", first},
      {"groupby", group},
      {"items", items},
      {"join", join},
      {"last", last},
      {"list", list},
      {"map", map},
      {"max", extreme<true>},
      {"min", extreme<false>},
      {"reject", choose<false, false>},
      {"rejectattr", choose<false, true>},
      {"reverse", reverse},
      {"select", choose<true, false>},
      {"selectattr", choose<true, true>},
      {"slice", sliceEvenly},
      {"sort", sortItems},
      {"sum", sum},
      {"unique", unique},
  };
  for (const auto &[known, filter] : filters)
    if (known == name)
      return filter;
  return nullptr;
}
