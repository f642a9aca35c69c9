// The global functions of chat templates.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaPrint.h"

#include <algorithm>

using namespace moec;
using namespace moec::jinja;

static constexpr std::string_view globals[] = {"dict", "namespace", "raise_exception", "range",
                                               "strftime_now"};

bool moec::jinja::isGlobal(std::string_view name) {
  return std::find(std::begin(globals), std::end(globals), name) != std::end(globals);
}

/// Entries given as a mapping, as pairs and by name, as Python's dict() takes them.
static std::vector<std::pair<Value, Value>> entriesOf(Run &run, const Arguments &arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) {
    run.fail("`dict` takes at most one argument without a name");
    return entries;
  }
  for (const Value &given : arguments.positional) {
    if (const Mapping *mapping = given.mapping()) {
      entries = mapping->entries;
    } else if (const Namespace *names = given.names()) {
      for (const auto &[name, value] : names->attributes)
        entries.emplace_back(Value(name), value);
    } else {
      for (const Value &item : iterate(run, given)) {
        std::vector<Value> pair = iterate(run, item);
        if (!run.failed() && pair.size() != 2)
          run.fail("`dict` needs pairs, found " + std::to_string(pair.size()) + " values");
        if (run.failed())
          return entries;
        entries.emplace_back(std::move(pair[0]), std::move(pair[1]));
      }
    }
  }
  for (const auto &[name, value] : arguments.named)
    entries.emplace_back(Value(name), value);
  return entries;
}

static Value makeNamespace(Run &run, const Arguments &arguments) {
  std::map<std::string, Value, std::less<>> attributes;
  for (auto &[key, value] : entriesOf(run, arguments)) {
    if (!key.text())
      return run.fail("attributes of a namespace are text, found a " + std::string(typeName(key)));
    attributes.insert_or_assign(*key.text(), std::move(value));
  }
  return run.failed() ? Value() : run.names(std::move(attributes));
}

static Value makeRange(Run &run, const Arguments &arguments) {
  static constexpr int64_t mostItems = 100'000; // the sandbox's bound
  int64_t bounds[3] = {0, 0, 1};
  size_t count = arguments.positional.size();
  if (count < 1 || count > 3 || !arguments.named.empty())
    return run.fail("`range` takes one to three arguments");
  for (size_t i = 0; i < count; ++i) {
    if (arguments.positional[i].isUndefined())
      return run.failUndefined(arguments.positional[i]);
    if (!arguments.positional[i].isInteger())
      return run.fail("`range` needs whole numbers, found a " +
                      std::string(typeName(arguments.positional[i])));
    bounds[count == 1 ? 1 : i] = arguments.positional[i].integer();
  }
  if (bounds[2] == 0)
    return run.fail("`range` has step 0");
  std::vector<Value> items;
  for (__int128 at = bounds[0]; bounds[2] > 0 ? at < bounds[1] : at > bounds[1]; at += bounds[2]) {
    if (items.size() == mostItems)
      return run.fail("`range` has more than " + std::to_string(mostItems) + " items");
    items.emplace_back(static_cast<int64_t>(at));
  }
  Value range = run.list(std::move(items), Flavour::Range);
  if (Sequence *sequence = range.sequence()) {
    sequence->spelling = "range(" + std::to_string(bounds[0]) + ", " + std::to_string(bounds[1]);
    sequence->spelling += bounds[2] == 1 ? ")" : ", " + std::to_string(bounds[2]) + ")";
  }
  return range;
}

static Value formatNow(Run &run, const std::string &format, const std::tm &now) {
  if (format.empty())
    return run.text("");
  // A trailing mark tells an empty result from one that does not fit.
  std::string marked = format + '.';
  char buffer[4096];
  size_t length = std::strftime(buffer, sizeof buffer, marked.c_str(), &now);
  if (!length)
    return run.fail("`strftime_now` makes more than " + std::to_string(sizeof buffer) + " bytes");
  return run.text(std::string(buffer, length - 1));
}

Value moec::jinja::callGlobal(Run &run, std::string_view name, const Arguments &arguments,
                              const std::tm &now) {
  if (name == "dict") {
    std::vector<std::pair<Value, Value>> entries = entriesOf(run, arguments);
    return run.failed() ? Value() : run.mapping(std::move(entries));
  }
  if (name == "namespace")
    return makeNamespace(run, arguments);
  if (name == "range")
    return makeRange(run, arguments);
  Parameter parameters[] = {{name == "strftime_now" ? "format" : "message", true}};
  Value value;
  if (!bindArguments(run, name, arguments, parameters, std::span<Value>(&value, 1)))
    return {};
  if (name == "raise_exception") {
    std::string message = print(run, value);
    return run.fail(std::move(message), Code::Usage);
  }
  if (!value.text())
    return run.fail("`strftime_now` needs a format, found a " + std::string(typeName(value)));
  return formatNow(run, *value.text(), now);
}
