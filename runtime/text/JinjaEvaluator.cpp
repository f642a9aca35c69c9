// Renders a parsed chat template: expressions.

#include "runtime/text/JinjaInterpreter.h"
#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"
#include "runtime/text/JinjaText.h"

using namespace moec;
using namespace moec::jinja;

Value Interpreter::evaluate(const Expression &expression) {
  Nesting guard(*this);
  if (!run.step())
    return {};
  run.line = expression.line;
  return evaluateNode(expression);
}

Value Interpreter::evaluateNode(const Expression &expression) {
  const std::vector<ExpressionPtr> &parts = expression.parts;
  switch (expression.kind) {
  case Expression::Kind::Literal:
    return expression.value;
  case Expression::Kind::Name:
    return evaluateName(expression);
  case Expression::Kind::List:
    return run.list(evaluateAll(parts));
  case Expression::Kind::Tuple:
    return run.list(evaluateAll(parts), Flavour::Tuple);
  case Expression::Kind::Mapping:
    return evaluateMapping(expression);
  case Expression::Kind::Not:
    return !isTrue(evaluate(*parts[0]));
  case Expression::Kind::Negate:
  case Expression::Kind::Plus: {
    Value value = evaluate(*parts[0]);
    return run.failed() ? Value() : sign(run, value, expression.kind == Expression::Kind::Negate);
  }
  case Expression::Kind::And:
  case Expression::Kind::Or: {
    Value left = evaluate(*parts[0]);
    if (run.failed() || isTrue(left) == (expression.kind == Expression::Kind::Or))
      return left;
    return evaluate(*parts[1]);
  }
  case Expression::Kind::Arithmetic: {
    Value left = evaluate(*parts[0]);
    Value right = run.failed() ? Value() : evaluate(*parts[1]);
    run.line = run.failed() ? run.line : expression.line;
    return run.failed() ? Value() : calculate(run, expression.text, left, right);
  }
  case Expression::Kind::Compare:
    return evaluateCompare(expression);
  case Expression::Kind::Concatenate:
    return evaluateConcatenation(expression);
  case Expression::Kind::Choice:
    return evaluateChoice(expression);
  case Expression::Kind::Attribute: {
    Value object = evaluate(*parts[0]);
    return run.failed() ? Value() : attributeOf(run, object, expression.text);
  }
  case Expression::Kind::Item: {
    Value object = evaluate(*parts[0]);
    Value key = run.failed() ? Value() : evaluate(*parts[1]);
    return run.failed() ? Value() : itemOf(run, object, key);
  }
  case Expression::Kind::Slice:
    return evaluateSlice(expression);
  case Expression::Kind::Call:
    return evaluateCall(expression);
  case Expression::Kind::Filter:
    return evaluateFilter(expression);
  case Expression::Kind::Test:
    return evaluateTest(expression);
  }
  return {};
}

Value Interpreter::evaluateName(const Expression &expression) {
  if (const Value *value = lookUp(expression.text))
    return *value;
  if (isGlobal(expression.text))
    return std::make_shared<const Callable>(
        Callable{Callable::Kind::Global, expression.text, {}, nullptr, nullptr});
  return Undefined{std::make_shared<const std::string>("`" + expression.text + "` is undefined")};
}

std::vector<Value> Interpreter::evaluateAll(const std::vector<ExpressionPtr> &parts) {
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const ExpressionPtr &part : parts) {
    if (run.failed())
      break;
    values.push_back(evaluate(*part));
  }
  return values;
}

Value Interpreter::evaluateMapping(const Expression &expression) {
  std::vector<Value> values = evaluateAll(expression.parts);
  if (run.failed())
    return {};
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < values.size(); i += 2)
    entries.emplace_back(std::move(values[i]), std::move(values[i + 1]));
  return run.mapping(std::move(entries));
}

Value Interpreter::evaluateCompare(const Expression &expression) {
  Value left = evaluate(*expression.parts[0]);
  for (size_t i = 0; i < expression.operators.size() && !run.failed(); ++i) {
    Value right = evaluate(*expression.parts[i + 1]);
    if (run.failed() || !compare(run, expression.operators[i], left, right))
      return false;
    left = std::move(right);
  }
  return !run.failed();
}

Value Interpreter::evaluateConcatenation(const Expression &expression) {
  std::string text;
  for (const ExpressionPtr &part : expression.parts) {
    Value value = evaluate(*part);
    if (run.failed())
      return {};
    text += value.text() ? *value.text() : print(run, value);
    if (text.size() > run.limits.bytes)
      break; // `text` below fails
  }
  return run.text(std::move(text));
}

Value Interpreter::evaluateChoice(const Expression &expression) {
  bool condition = isTrue(evaluate(*expression.parts[0]));
  if (run.failed())
    return {};
  if (condition)
    return evaluate(*expression.parts[1]);
  if (expression.parts.size() > 2)
    return evaluate(*expression.parts[2]);
  return Undefined{
      std::make_shared<const std::string>("an inline `if` is false and has no `else`")};
}

Value Interpreter::evaluateSlice(const Expression &expression) {
  Value values[4];
  for (size_t i = 0; i < 4 && !run.failed(); ++i) {
    if (!expression.parts[i])
      continue;
    values[i] = evaluate(*expression.parts[i]);
    if (i && values[i].isUndefined() && !run.failed())
      run.failUndefined(values[i]);
  }
  return run.failed() ? Value() : slice(run, values[0], values[1], values[2], values[3]);
}

Arguments Interpreter::evaluateArguments(const Expression &expression) {
  Arguments arguments;
  for (const Argument &argument : expression.arguments) {
    if (run.failed())
      break;
    Value value = evaluate(*argument.value);
    if (argument.kind == Argument::Kind::Positional) {
      arguments.positional.push_back(std::move(value));
    } else if (argument.kind == Argument::Kind::Named) {
      arguments.named.emplace_back(argument.name, std::move(value));
    } else if (argument.kind == Argument::Kind::Spread) {
      for (Value &item : iterate(run, value))
        arguments.positional.push_back(std::move(item));
    } else if (const Mapping *mapping = value.mapping()) {
      for (const auto &[key, entry] : mapping->entries) {
        if (!key.text()) {
          run.fail("arguments by name need text as names, found a " + std::string(typeName(key)));
          break;
        }
        arguments.named.emplace_back(*key.text(), entry);
      }
    } else {
      run.fail("`**` needs a mapping, found a " + std::string(typeName(value)));
    }
  }
  return arguments;
}

Value Interpreter::evaluateCall(const Expression &expression) {
  Value callee = evaluate(*expression.parts[0]);
  Arguments arguments = evaluateArguments(expression);
  if (run.failed())
    return {};
  run.line = expression.line;
  return call(callee, std::move(arguments));
}

Value Interpreter::evaluateFilter(const Expression &expression) {
  Value input = evaluate(*expression.parts[0]);
  Arguments arguments = evaluateArguments(expression);
  if (run.failed())
    return {};
  run.line = expression.line;
  Filter filter = findFilter(expression.text);
  if (!filter)
    return run.fail("the filter `" + expression.text + "` is not supported", Code::Unsupported);
  return filter(run, input, arguments);
}

Value Interpreter::evaluateTest(const Expression &expression) {
  Value input = evaluate(*expression.parts[0]);
  Arguments arguments = evaluateArguments(expression);
  if (run.failed())
    return {};
  run.line = expression.line;
  Test test = findTest(expression.text);
  if (!test)
    return run.fail("the test `" + expression.text + "` is not supported", Code::Unsupported);
  return test(run, input, arguments);
}
