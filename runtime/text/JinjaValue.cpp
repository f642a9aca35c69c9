// Values of the template language: making, comparing and iterating them within bounds.

#include "runtime/text/JinjaValue.h"

#include "runtime/text/JinjaCall.h"
#include "runtime/text/JinjaText.h"

#include <cmath>
#include <nlohmann/json.hpp>

using namespace moec;
using namespace moec::jinja;

bool Value::isInteger() const {
  return std::holds_alternative<int64_t>(storage) || std::holds_alternative<bool>(storage);
}
bool Value::isNumber() const { return isInteger() || std::holds_alternative<double>(storage); }

const std::string *Value::text() const {
  const Text *text = std::get_if<Text>(&storage);
  return text ? text->bytes.get() : nullptr;
}
bool Value::isSafe() const {
  const Text *text = std::get_if<Text>(&storage);
  return text && text->safe;
}

template <typename T> static T *pointee(const Value::Storage &storage) {
  const std::shared_ptr<T> *pointer = std::get_if<std::shared_ptr<T>>(&storage);
  return pointer ? pointer->get() : nullptr;
}
Sequence *Value::sequence() const { return pointee<Sequence>(storage); }
const Mapping *Value::mapping() const { return pointee<const Mapping>(storage); }
Namespace *Value::names() const { return pointee<Namespace>(storage); }
Loop *Value::loop() const { return pointee<Loop>(storage); }
const Callable *Value::callable() const { return pointee<const Callable>(storage); }

int64_t Value::integer() const {
  const bool *truth = std::get_if<bool>(&storage);
  return truth ? *truth : std::get<int64_t>(storage);
}
double Value::real() const {
  const double *number = std::get_if<double>(&storage);
  return number ? *number : static_cast<double>(integer());
}
unsigned Value::depth() const {
  if (const Sequence *items = sequence())
    return items->depth;
  if (const Mapping *entries = mapping())
    return entries->depth;
  return 0;
}

Run::~Run() {
  // Namespaces may hold each other; emptying them one by one breaks every cycle and long chain.
  for (const std::shared_ptr<Namespace> &names : namespaces)
    names->attributes.clear();
}

Value Run::fail(std::string message, Code code) {
  if (!failed())
    failure = {code, "chat template, line " + std::to_string(line) + ": " + std::move(message)};
  return {};
}

Value Run::failUndefined(const Value &undefined) {
  const Undefined *value = undefined.get<Undefined>();
  return fail(value && value->message ? *value->message : "an undefined value is used");
}

bool Run::step(size_t count) {
  if (failed())
    return false;
  steps += count;
  if (steps > limits.steps)
    fail("the template takes more than " + std::to_string(limits.steps) + " steps");
  return !failed();
}

bool Run::allocate(size_t count) {
  if (failed())
    return false;
  // Making text costs time too: a step for every few words of memory.
  bool fits = count <= limits.bytes - bytes;
  if (fits)
    bytes += count;
  else
    fail("the template makes more than " + std::to_string(limits.bytes) + " bytes of text");
  return step(count / 64);
}

Value Run::text(std::string value, bool safe) {
  if (!allocate(value.size()))
    return {};
  return Value(std::move(value), safe);
}

Value Run::list(std::vector<Value> items, Flavour flavour) {
  unsigned depth = 0;
  for (const Value &item : items)
    depth = std::max(depth, item.depth());
  if (!allocate(items.size() * sizeof(Value)))
    return {};
  if (depth + 1 > limits.nesting)
    return fail("lists nest deeper than " + std::to_string(limits.nesting));
  return std::make_shared<Sequence>(Sequence{flavour, std::move(items), depth + 1});
}

bool moec::jinja::isHashable(const Value &value) {
  if (value.mapping() || value.names())
    return false;
  const Sequence *items = value.sequence();
  if (!items)
    return true;
  if (items->flavour != Flavour::Tuple)
    return false;
  for (const Value &item : items->items)
    if (!isHashable(item))
      return false;
  return true;
}

Value Run::mapping(std::vector<std::pair<Value, Value>> entries) {
  auto made = std::make_shared<Mapping>();
  made->entries.reserve(entries.size()); // keeps the keys of `texts` where they are
  if (!allocate(entries.size() * sizeof(entries[0])))
    return {};
  for (auto &[key, value] : entries) {
    made->depth = std::max({made->depth, value.depth() + 1, key.depth() + 1});
    if (const Value *present = find(*this, *made, key)) {
      *const_cast<Value *>(present) = std::move(value);
      continue;
    }
    if (failed())
      return {};
    if (const std::string *name = key.text())
      made->texts.emplace(*name, made->entries.size());
    made->entries.emplace_back(std::move(key), std::move(value));
  }
  if (made->depth > limits.nesting)
    return fail("mappings nest deeper than " + std::to_string(limits.nesting));
  return std::shared_ptr<const Mapping>(std::move(made));
}

Value Run::names(std::map<std::string, Value, std::less<>> attributes) {
  if (!allocate(sizeof(Namespace) + attributes.size() * sizeof(Value)))
    return {};
  namespaces.push_back(std::make_shared<Namespace>(Namespace{std::move(attributes)}));
  return namespaces.back();
}

Value Run::fromJson(const nlohmann::ordered_json &json, unsigned depth) {
  using Kind = nlohmann::ordered_json::value_t;
  if (depth > limits.nesting)
    return fail("the input nests deeper than " + std::to_string(limits.nesting));
  if (!step())
    return {};
  switch (json.type()) {
  case Kind::boolean:
    return json.get<bool>();
  case Kind::number_integer:
    return json.get<int64_t>();
  case Kind::number_unsigned:
    if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      return fail("the input holds the number " + std::to_string(json.get<uint64_t>()) +
                  ", which is beyond 64 bits with a sign");
    return json.get<int64_t>();
  case Kind::number_float:
    return json.get<double>();
  case Kind::string:
    return text(json.get_ref<const std::string &>());
  case Kind::array: {
    std::vector<Value> items;
    items.reserve(json.size());
    for (const nlohmann::ordered_json &item : json)
      items.push_back(fromJson(item, depth + 1));
    return failed() ? Value() : list(std::move(items));
  }
  case Kind::object: {
    std::vector<std::pair<Value, Value>> entries;
    entries.reserve(json.size());
    for (auto it = json.begin(); it != json.end(); ++it)
      entries.emplace_back(text(it.key()), fromJson(it.value(), depth + 1));
    return failed() ? Value() : mapping(std::move(entries));
  }
  default:
    return None{};
  }
}

std::string_view moec::jinja::typeName(const Value &value) {
  switch (value.state().index()) {
  case 0:
    return "Undefined";
  case 1:
    return "NoneType";
  case 2:
    return "bool";
  case 3:
    return "int";
  case 4:
    return "float";
  case 5:
    return "str";
  case 6:
    switch (value.sequence()->flavour) {
    case Flavour::List:
      return "list";
    case Flavour::Tuple:
      return "tuple";
    case Flavour::Range:
      return "range";
    case Flavour::Keys:
      return "dict_keys";
    case Flavour::Values:
      return "dict_values";
    case Flavour::Items:
      return "dict_items";
    case Flavour::Generator:
      return "generator";
    }
    return "sequence";
  case 7:
    return "dict";
  case 8:
    return "Namespace";
  case 9:
    return "LoopContext";
  default:
    return "function";
  }
}

const Value *moec::jinja::find(const Mapping &mapping, std::string_view key) {
  auto at = mapping.texts.find(key);
  return at == mapping.texts.end() ? nullptr : &mapping.entries[at->second].second;
}

const Value *moec::jinja::find(Run &run, const Mapping &mapping, const Value &key) {
  if (const std::string *name = key.text())
    return find(mapping, *name);
  if (!isHashable(key)) {
    run.fail("a " + std::string(typeName(key)) + " cannot be a key");
    return nullptr;
  }
  if (mapping.texts.size() == mapping.entries.size())
    return nullptr;
  for (const auto &[candidate, value] : mapping.entries)
    if (!candidate.text() && equal(run, candidate, key))
      return &value;
  return nullptr;
}

bool moec::jinja::isTrue(const Value &value) {
  if (value.isUndefined() || value.isNone())
    return false;
  if (value.isNumber())
    return value.real() != 0;
  if (const std::string *text = value.text())
    return !text->empty();
  if (const Sequence *items = value.sequence())
    return items->flavour == Flavour::Generator || !items->items.empty();
  if (const Mapping *entries = value.mapping())
    return !entries->entries.empty();
  return true;
}

/// -1, 0 or 1 as `a` is below, at or above `b`; 2 if one is not a number. Exact, where a double is
/// not.
static int compareNumbers(const Value &a, const Value &b) {
  if (a.isInteger() && b.isInteger())
    return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
  if (a.isInteger()) {
    int flipped = compareNumbers(b, a);
    return flipped == 2 ? 2 : -flipped;
  }
  double x = a.real();
  if (std::isnan(x) || (!b.isInteger() && std::isnan(b.real())))
    return 2;
  if (b.isInteger()) {
    if (x >= 0x1p63)
      return 1;
    if (x < -0x1p63)
      return -1;
    int64_t whole = static_cast<int64_t>(std::floor(x));
    if (whole != b.integer())
      return whole < b.integer() ? -1 : 1;
    return x > std::floor(x);
  }
  return x < b.real() ? -1 : x > b.real();
}

static bool isList(Flavour flavour) {
  return flavour == Flavour::List || flavour == Flavour::Tuple || flavour == Flavour::Range;
}

bool moec::jinja::equal(Run &run, const Value &a, const Value &b) {
  if (!run.step())
    return false;
  if (a.isNumber() && b.isNumber())
    return compareNumbers(a, b) == 0;
  if (a.state().index() != b.state().index())
    return false;
  if (a.isUndefined() || a.isNone())
    return true;
  if (const std::string *text = a.text())
    return run.step(text->size() / 64) && *text == *b.text();
  if (const Sequence *items = a.sequence()) {
    const Sequence *others = b.sequence();
    if (items == others)
      return true;
    if (!isList(items->flavour) || items->flavour != others->flavour ||
        items->items.size() != others->items.size())
      return false;
    for (size_t i = 0; i < items->items.size(); ++i)
      if (!equal(run, items->items[i], others->items[i]))
        return false;
    return true;
  }
  if (const Mapping *entries = a.mapping()) {
    const Mapping *others = b.mapping();
    if (entries == others)
      return true;
    if (entries->entries.size() != others->entries.size())
      return false;
    for (const auto &[key, value] : entries->entries) {
      const Value *other = find(run, *others, key);
      if (!other || !equal(run, value, *other))
        return false;
    }
    return true;
  }
  return a.names() == b.names() && a.loop() == b.loop() && a.callable() == b.callable();
}

bool moec::jinja::less(Run &run, const Value &a, const Value &b) {
  if (!run.step())
    return false;
  if (a.isNumber() && b.isNumber())
    return compareNumbers(a, b) == -1;
  if (a.text() && b.text()) // the order of UTF-8 bytes is that of code points
    return run.step(a.text()->size() / 64) && *a.text() < *b.text();
  const Sequence *items = a.sequence(), *others = b.sequence();
  if (items && others && items->flavour == others->flavour &&
      (items->flavour == Flavour::List || items->flavour == Flavour::Tuple)) {
    for (size_t i = 0; i < items->items.size() && i < others->items.size(); ++i)
      if (!equal(run, items->items[i], others->items[i]))
        return less(run, items->items[i], others->items[i]);
    return items->items.size() < others->items.size();
  }
  if (a.isUndefined() || b.isUndefined())
    run.failUndefined(a.isUndefined() ? a : b);
  else
    run.fail("a " + std::string(typeName(a)) + " and a " + std::string(typeName(b)) +
             " cannot be ordered");
  return false;
}

std::vector<Value> moec::jinja::iterate(Run &run, const Value &value) {
  std::vector<Value> items;
  if (value.isUndefined())
    return items;
  if (Sequence *sequence = value.sequence()) {
    if (!run.allocate(sequence->items.size() * sizeof(Value)))
      return items;
    items.assign(sequence->items.begin() + static_cast<ptrdiff_t>(sequence->taken),
                 sequence->items.end());
    if (sequence->flavour == Flavour::Generator)
      sequence->taken = sequence->items.size();
    return items;
  }
  if (const Mapping *mapping = value.mapping()) {
    if (run.allocate(mapping->entries.size() * sizeof(Value)))
      for (const auto &[key, entry] : mapping->entries)
        items.push_back(key);
    return items;
  }
  if (const std::string *text = value.text()) {
    if (!run.allocate(text->size() * (sizeof(Value) + sizeof(std::string))))
      return items;
    for (size_t at = 0; at < text->size();) {
      CodePoint point = codePointAt(*text, at);
      items.emplace_back(text->substr(at, point.bytes));
      at += point.bytes;
    }
    return items;
  }
  run.fail("a " + std::string(typeName(value)) + " cannot be iterated over");
  return items;
}
