// Renders a parsed chat template: statements and calls.

#include "runtime/text/JinjaInterpreter.h"

#include "runtime/text/JinjaOperators.h"
#include "runtime/text/JinjaPrint.h"

#include <algorithm>
#include <fmt/format.h>

using namespace moec;
using namespace moec::jinja;

Interpreter::Inside::Inside(Interpreter &interpreter, ScopePtr parent)
    : interpreter(interpreter), outer(std::exchange(interpreter.scope, std::make_shared<Scope>())) {
  interpreter.scope->parent = std::move(parent);
}

Interpreter::Inside::~Inside() { interpreter.scope = std::move(outer); }

Interpreter::Nesting::Nesting(Interpreter &interpreter) : interpreter(interpreter) {
  if (++interpreter.nesting > interpreter.run.limits.recursion)
    interpreter.run.fail("the template recurses deeper than " +
                         std::to_string(interpreter.run.limits.recursion));
}

Interpreter::~Interpreter() {
  // A macro keeps the scope that holds it; emptying these scopes breaks the cycles.
  for (const ScopePtr &kept : captured)
    kept->values.clear();
}

std::string Interpreter::render(const Body &body, std::map<std::string_view, Value> variables) {
  std::string text;
  output = &text;
  Inside root(*this, nullptr);
  scope->values = std::move(variables);
  Inside top(*this, scope);
  execute(body);
  return text;
}

void Interpreter::write(const std::string &text) {
  if (output->size() + text.size() > run.limits.output)
    run.fail("the rendered text is longer than " + std::to_string(run.limits.output) + " bytes");
  else if (run.step(text.size() / 64))
    *output += text;
}

std::string Interpreter::capture(const Body &body) {
  std::string text;
  std::string *outer = std::exchange(output, &text);
  {
    Inside inside(*this, scope);
    execute(body);
  }
  output = outer;
  run.allocate(text.size());
  return text;
}

Interpreter::Flow Interpreter::execute(const Body &body) {
  Nesting guard(*this);
  for (const Statement &statement : body) {
    run.line = statement.line;
    if (!run.step())
      break;
    Flow flow = execute(statement);
    if (run.failed() || flow != Flow::Next)
      return flow;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::execute(const Statement &statement) {
  switch (statement.kind) {
  case Statement::Kind::Data:
    write(statement.text);
    break;
  case Statement::Kind::Output: {
    Value value = evaluate(*statement.expression);
    if (run.failed())
      break;
    if (const std::string *text = value.text())
      write(*text);
    else
      write(print(run, value));
    break;
  }
  case Statement::Kind::If:
    return executeIf(statement);
  case Statement::Kind::For: {
    Value iterated = evaluate(*statement.expression);
    return run.failed() ? Flow::Next : executeFor(statement, iterated, scope, 0);
  }
  case Statement::Kind::Set: {
    Value value = evaluate(*statement.expression);
    if (!run.failed())
      assign(statement.targets[0], std::move(value));
    break;
  }
  case Statement::Kind::SetBlock:
    executeSetBlock(statement);
    break;
  case Statement::Kind::Filter:
    executeFilterBlock(statement);
    break;
  case Statement::Kind::Macro:
    defineMacro(statement);
    break;
  case Statement::Kind::With:
    return executeWith(statement);
  case Statement::Kind::Scope: {
    Inside inside(*this, scope);
    return execute(statement.bodies[0]);
  }
  case Statement::Kind::Break:
    return Flow::Break;
  case Statement::Kind::Continue:
    return Flow::Continue;
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::executeIf(const Statement &statement) {
  for (size_t i = 0; i < statement.bodies.size(); ++i) {
    bool taken = i >= statement.conditions.size() || isTrue(evaluate(*statement.conditions[i]));
    if (run.failed())
      break;
    if (taken)
      return execute(statement.bodies[i]);
  }
  return Flow::Next;
}

Interpreter::Flow Interpreter::executeFor(const Statement &statement, const Value &iterated,
                                          const ScopePtr &outer, unsigned level) {
  Nesting guard(*this);
  std::vector<Value> items = iterate(run, iterated);
  if (statement.condition) {
    std::vector<Value> kept;
    for (Value &item : items) {
      if (!run.step())
        return Flow::Next;
      Inside inside(*this, outer);
      assign(statement.targets[0], item);
      if (!run.failed() && isTrue(evaluate(*statement.condition)))
        kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (run.failed())
    return Flow::Next;
  auto loop = std::make_shared<Loop>(Loop{.statement = &statement,
                                          .scope = statement.recursive ? outer : nullptr,
                                          .items = std::move(items),
                                          .level = level});
  if (statement.recursive)
    captured.push_back(outer); // the scope may come to hold the loop, which holds it
  bool finished = false;       // whether the body ran to its end once
  for (; loop->index < loop->items.size() && run.step(); ++loop->index) {
    Inside inside(*this, outer);
    scope->values["loop"] = loop;
    assign(statement.targets[0], loop->items[loop->index]);
    Flow flow = run.failed() ? Flow::Break : execute(statement.bodies[0]);
    if (flow == Flow::Break)
      break;
    finished |= flow == Flow::Next;
  }
  // As in Jinja, `else` is for loops that never got to the end of their body.
  if (finished || statement.bodies.size() < 2 || run.failed())
    return Flow::Next;
  Inside inside(*this, outer);
  return execute(statement.bodies[1]);
}

Interpreter::Flow Interpreter::executeWith(const Statement &statement) {
  std::vector<Value> values = evaluateAll(statement.conditions);
  if (run.failed())
    return Flow::Next;
  Inside inside(*this, scope);
  for (size_t i = 0; i < values.size() && !run.failed(); ++i)
    assign(statement.targets[i], std::move(values[i]));
  return run.failed() ? Flow::Next : execute(statement.bodies[0]);
}

Value Interpreter::filtered(const Expression &filters, std::string text) {
  Inside inside(*this, scope);
  scope->values[capturedName] = run.text(std::move(text));
  return evaluate(filters);
}

void Interpreter::executeSetBlock(const Statement &statement) {
  std::string text = capture(statement.bodies[0]);
  if (run.failed())
    return;
  Value value = statement.expression ? filtered(*statement.expression, std::move(text))
                                     : run.text(std::move(text));
  if (!run.failed())
    assign(statement.targets[0], std::move(value));
}

void Interpreter::executeFilterBlock(const Statement &statement) {
  std::string text = capture(statement.bodies[0]);
  if (run.failed())
    return;
  Value value = filtered(*statement.expression, std::move(text));
  if (!run.failed())
    write(print(run, value));
}

void Interpreter::defineMacro(const Statement &statement) {
  // Every kept scope once: a loop that defines macros has a new one each time around.
  if (captured.empty() || captured.back() != scope)
    captured.push_back(scope);
  scope->values[statement.text] = std::make_shared<const Callable>(
      Callable{Callable::Kind::Macro, statement.text, {}, &statement, scope});
}

void Interpreter::assign(const Target &target, Value value) {
  switch (target.kind) {
  case Target::Kind::Name:
    scope->values[target.name] = std::move(value);
    break;
  case Target::Kind::Attribute: {
    const Value *names = lookUp(target.name);
    if (!names || !names->names()) {
      run.fail("`" + target.name + "." + target.attribute +
               "` is set, but only namespaces have attributes that can be");
      break;
    }
    if (!names->names()->attributes.contains(target.attribute))
      run.allocate(sizeof(Value));
    names->names()->attributes[target.attribute] = std::move(value);
    break;
  }
  case Target::Kind::Tuple: {
    if (value.isUndefined()) {
      run.failUndefined(value);
      break;
    }
    std::vector<Value> items = iterate(run, value);
    if (run.failed())
      break;
    if (items.size() != target.parts.size()) {
      run.fail("unpacking wants " + std::to_string(target.parts.size()) + " values, found " +
               std::to_string(items.size()));
      break;
    }
    for (size_t i = 0; i < items.size() && !run.failed(); ++i)
      assign(target.parts[i], std::move(items[i]));
    break;
  }
  }
}

const Value *Interpreter::lookUp(std::string_view name) const {
  for (const Scope *at = scope.get(); at; at = at->parent.get()) {
    auto found = at->values.find(name);
    if (found != at->values.end())
      return &found->second;
  }
  return nullptr;
}

Value Interpreter::call(const Value &callee, Arguments arguments) {
  if (callee.isUndefined())
    return run.failUndefined(callee);
  if (const Loop *loop = callee.loop(); loop && loop->statement->recursive) {
    if (arguments.positional.size() != 1 || !arguments.named.empty())
      return run.fail("`loop` takes one argument, what to go through");
    const Statement &statement = *loop->statement;
    std::string text;
    std::string *outer = std::exchange(output, &text);
    executeFor(statement, arguments.positional[0], loop->scope, loop->level + 1);
    output = outer;
    return run.text(std::move(text));
  }
  const Callable *function = callee.callable();
  if (!function)
    return run.fail("a " + std::string(typeName(callee)) + " cannot be called");
  switch (function->kind) {
  case Callable::Kind::Macro:
    return callMacro(*function, std::move(arguments));
  case Callable::Kind::Method:
    return callMethod(run, function->self, function->name, arguments);
  case Callable::Kind::Global:
    return callGlobal(run, function->name, arguments, now);
  case Callable::Kind::LoopCycle:
  case Callable::Kind::LoopChanged:
    return callLoop(*function, arguments);
  }
  return {};
}

Value Interpreter::callLoop(const Callable &function, const Arguments &arguments) {
  Loop &loop = *function.self.loop();
  const std::vector<Value> &values = arguments.positional;
  if (!arguments.named.empty())
    return run.fail("`loop." + std::string(function.name) + "` takes no arguments by name");
  if (function.kind == Callable::Kind::LoopCycle) {
    if (values.empty())
      return run.fail("`loop.cycle` needs something to go through");
    return values[loop.index % values.size()];
  }
  bool same = loop.asked && loop.last.size() == values.size();
  for (size_t i = 0; same && i < values.size(); ++i)
    same = equal(run, loop.last[i], values[i]);
  loop.asked = true;
  if (!same)
    loop.last = values;
  return !same;
}

Value Interpreter::callMacro(const Callable &macro, Arguments arguments) {
  Nesting guard(*this);
  const Statement &statement = *macro.macro;
  const std::vector<Statement::Parameter> &parameters = statement.parameters;
  std::string name(macro.name);
  if (!run.step())
    return {};
  uint32_t line = run.line;
  std::string text;
  {
    Inside inside(*this, macro.scope);
    std::vector<Value> more;
    for (size_t i = 0; i < arguments.positional.size(); ++i) {
      if (i < parameters.size())
        scope->values[parameters[i].name] = std::move(arguments.positional[i]);
      else
        more.push_back(std::move(arguments.positional[i]));
    }
    if (!more.empty() && !statement.takesMore)
      return run.fail("macro `" + name + "` takes " + std::to_string(parameters.size()) +
                      " arguments, found " + std::to_string(parameters.size() + more.size()));
    std::vector<std::pair<Value, Value>> moreNamed;
    for (auto &[keyword, value] : arguments.named) {
      auto parameter = std::find_if(parameters.begin(), parameters.end(),
                                    [&](const auto &known) { return known.name == keyword; });
      if (parameter == parameters.end()) {
        if (!statement.takesMoreNamed)
          return run.fail(fmt::format("macro `{}` has no argument `{}`", name, keyword));
        moreNamed.emplace_back(Value(keyword), std::move(value));
      } else if (!scope->values.emplace(parameter->name, std::move(value)).second) {
        return run.fail(fmt::format("macro `{}` is given twice the argument `{}`", name, keyword));
      }
    }
    if (statement.takesMore)
      scope->values["varargs"] = run.list(std::move(more), Flavour::Tuple);
    if (statement.takesMoreNamed)
      scope->values["kwargs"] = run.mapping(std::move(moreNamed));
    for (const Statement::Parameter &parameter : parameters) {
      if (scope->values.contains(parameter.name))
        continue;
      Value value = Undefined{std::make_shared<const std::string>(
          fmt::format("parameter `{}` of macro `{}` is not given", parameter.name, name))};
      if (parameter.fallback)
        value = evaluate(*parameter.fallback);
      scope->values[parameter.name] = std::move(value);
    }
    std::string *outer = std::exchange(output, &text);
    execute(statement.bodies[0]);
    output = outer;
  }
  if (!run.failed())
    run.line = line; // what fails after the call is the caller's
  return run.text(std::move(text));
}
