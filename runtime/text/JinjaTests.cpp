// The tests that stand after `is`.

#include "runtime/text/JinjaBuiltins.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

#include <cmath>

using namespace moec;
using namespace moec::jinja;

/// A test that looks at the value's kind alone.
template <bool (*holds)(const Value &)>
static bool plain(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "is", arguments, {}, {}) && holds(input);
}

static bool isDefined(const Value &value) { return !value.isUndefined(); }
static bool isUndefinedValue(const Value &value) { return value.isUndefined(); }
static bool isNoneValue(const Value &value) { return value.isNone(); }
static bool isBoolean(const Value &value) { return value.get<bool>() != nullptr; }
static bool isTrueValue(const Value &value) { return value.get<bool>() && *value.get<bool>(); }
static bool isFalseValue(const Value &value) { return value.get<bool>() && !*value.get<bool>(); }
static bool isWhole(const Value &value) { return value.get<int64_t>() != nullptr; }
static bool isReal(const Value &value) { return value.get<double>() != nullptr; }
static bool isAnyNumber(const Value &value) { return value.isNumber(); }
static bool isText(const Value &value) { return value.text() != nullptr; }
static bool isSafeText(const Value &value) { return value.isSafe(); }
static bool isMapping(const Value &value) { return value.mapping() != nullptr; }
static bool isIterable(const Value &value) {
  return value.isUndefined() || value.text() || value.sequence() || value.mapping() || value.loop();
}
static bool isSequence(const Value &value) {
  if (const Sequence *sequence = value.sequence())
    return sequence->flavour <= Flavour::Range;
  return value.isUndefined() || value.text() || value.mapping();
}
/// Undefined counts: Python asks whether it has a way to be called, and it has one that fails.
static bool isCallable(const Value &value) {
  return value.isUndefined() || value.callable() ||
         (value.loop() && value.loop()->statement->recursive);
}

static bool isOdd(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "odd", arguments, {}, {}) &&
         equal(run, calculate(run, "%", input, Value(int64_t{2})), Value(int64_t{1}));
}
static bool isEven(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "even", arguments, {}, {}) &&
         equal(run, calculate(run, "%", input, Value(int64_t{2})), Value(int64_t{0}));
}

static bool operand(Run &run, const Arguments &arguments, std::string_view test, Value &value) {
  Parameter parameters[] = {{"other", true}};
  return bindArguments(run, test, arguments, parameters, std::span<Value>(&value, 1));
}

static bool isDivisible(Run &run, const Value &input, const Arguments &arguments) {
  Value number;
  return operand(run, arguments, "divisibleby", number) &&
         equal(run, calculate(run, "%", input, number), Value(int64_t{0}));
}

enum class Order { Equal, Unequal, Less, LessEqual, Greater, GreaterEqual, In };
template <Order order>
static bool compared(Run &run, const Value &input, const Arguments &arguments) {
  static constexpr std::string_view operators[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
  Value other;
  std::string_view op = operators[static_cast<int>(order)];
  return operand(run, arguments, op, other) && compare(run, op, input, other);
}

static bool isSame(Run &run, const Value &input, const Arguments &arguments) {
  Value other;
  if (!operand(run, arguments, "sameas", other) || input.state().index() != other.state().index())
    return false;
  if (input.sequence() || input.mapping())
    return input.sequence() == other.sequence() && input.mapping() == other.mapping();
  return equal(run, input, other);
}

template <Nature nature>
static bool isCased(Run &run, const Value &input, const Arguments &arguments) {
  if (!bindArguments(run, "is", arguments, {}, {}))
    return false;
  return isAll(input.text() ? *input.text() : print(run, input), nature);
}

static bool isFilter(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "filter", arguments, {}, {}) && input.text() &&
         findFilter(*input.text());
}
static bool isTest(Run &run, const Value &input, const Arguments &arguments) {
  return bindArguments(run, "test", arguments, {}, {}) && input.text() && findTest(*input.text());
}

Test moec::jinja::findTest(std::string_view name) {
  static constexpr std::pair<std::string_view, Test> tests[] = {
      {"boolean", plain<isBoolean>},
      {"callable", plain<isCallable>},
      {"defined", plain<isDefined>},
      {"divisibleby", isDivisible},
      {"eq", compared<Order::Equal>},
      {"equalto", compared<Order::Equal>},
      {"==", compared<Order::Equal>},
      {"escaped", plain<isSafeText>},
      {"even", isEven},
      {"false", plain<isFalseValue>},
      {"filter", isFilter},
      {"float", plain<isReal>},
      {"ge", compared<Order::GreaterEqual>},
      {">=", compared<Order::GreaterEqual>},
      {"greaterthan", compared<Order::Greater>},
      {"gt", compared<Order::Greater>},
      {">", compared<Order::Greater>},
      {"in", compared<Order::In>},
      {"integer", plain<isWhole>},
      {"iterable", plain<isIterable>},
      {"le", compared<Order::LessEqual>},
      {"<=", compared<Order::LessEqual>},
      {"lessthan", compared<Order::Less>},
      {"lower", isCased<Nature::Lower>},
      {"lt", compared<Order::Less>},
      {"<", compared<Order::Less>},
      {"mapping", plain<isMapping>},
      {"ne", compared<Order::Unequal>},
      {"!=", compared<Order::Unequal>},
      {"none", plain<isNoneValue>},
      {"number", plain<isAnyNumber>},
      {"odd", isOdd},
      {"sameas", isSame},
      {"sequence", plain<isSequence>},
      {"string", plain<isText>},
      {"test", isTest},
      {"true", plain<isTrueValue>},
      {"undefined", plain<isUndefinedValue>},
      {"upper", isCased<Nature::Upper>},
  };
  for (const auto &[known, test] : tests)
    if (known == name)
      return test;
  return nullptr;
}
