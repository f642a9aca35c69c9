// Renders a parsed chat template.

#ifndef MOEC_RUNTIME_TEXT_JINJAINTERPRETER_H
#define MOEC_RUNTIME_TEXT_JINJAINTERPRETER_H

#include "runtime/text/JinjaBuiltins.h"

namespace moec::jinja {

/// One rendering of a template. After a failure every function returns at once; what it returns is
/// then of no use.
class Interpreter {
public:
  Interpreter(Run &run, const std::tm &now) : run(run), now(now) {}
  ~Interpreter();

  /// Renders `body` with the given variables.
  std::string render(const Body &body, std::map<std::string_view, Value> variables);

private:
  enum class Flow { Next, Break, Continue };
  using ScopePtr = std::shared_ptr<Scope>;

  Flow execute(const Body &body);
  Flow execute(const Statement &statement);
  Flow executeIf(const Statement &statement);
  Flow executeFor(const Statement &statement, const Value &iterated, const ScopePtr &outer,
                  unsigned level);
  Flow executeWith(const Statement &statement);
  void executeSetBlock(const Statement &statement);
  void executeFilterBlock(const Statement &statement);
  void defineMacro(const Statement &statement);
  void assign(const Target &target, Value value);
  void write(const std::string &text);
  /// What the body writes, in a scope of its own.
  std::string capture(const Body &body);
  /// The captured text, passed through the filters of a block.
  Value filtered(const Expression &filters, std::string captured);

  Value evaluate(const Expression &expression);
  Value evaluateNode(const Expression &expression);
  Value evaluateName(const Expression &expression);
  Value evaluateMapping(const Expression &expression);
  Value evaluateCompare(const Expression &expression);
  Value evaluateConcatenation(const Expression &expression);
  Value evaluateChoice(const Expression &expression);
  Value evaluateSlice(const Expression &expression);
  Value evaluateCall(const Expression &expression);
  Value evaluateFilter(const Expression &expression);
  Value evaluateTest(const Expression &expression);
  std::vector<Value> evaluateAll(const std::vector<ExpressionPtr> &parts);
  Arguments evaluateArguments(const Expression &expression);

  Value call(const Value &callee, Arguments arguments);
  Value callMacro(const Callable &macro, Arguments arguments);
  Value callLoop(const Callable &function, const Arguments &arguments);
  const Value *lookUp(std::string_view name) const;

  /// Makes a scope current until it goes.
  struct Inside {
    Inside(Interpreter &interpreter, ScopePtr parent);
    ~Inside();
    Interpreter &interpreter;
    ScopePtr outer;
  };
  /// Counts how deep evaluation nests, and fails where the stack might not do.
  struct Nesting {
    explicit Nesting(Interpreter &interpreter);
    ~Nesting() { --interpreter.nesting; }
    Interpreter &interpreter;
  };

  Run &run;
  const std::tm &now;
  ScopePtr scope;
  std::string *output = nullptr;
  unsigned nesting = 0;
  std::vector<ScopePtr> captured; ///< scopes that macros keep; emptied at the end
};

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAINTERPRETER_H
