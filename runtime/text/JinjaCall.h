// What a template can call, and what a call passes.

#ifndef MOEC_RUNTIME_TEXT_JINJACALL_H
#define MOEC_RUNTIME_TEXT_JINJACALL_H

#include "runtime/text/JinjaSyntax.h"

#include <span>

namespace moec::jinja {

class Interpreter;

/// Names and their values; looking one up goes on in the parent.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::map<std::string_view, Value> values; ///< names belong to the syntax tree or to the input
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// One parameter of a filter, test, method or global function.
struct Parameter {
  std::string_view name;
  bool required = false;
};

/// Puts arguments where their parameters are; `values` holds the defaults and has one entry per
/// parameter. False, and a failure that names `callee`, where they do not fit.
bool bindArguments(Run &run, std::string_view callee, const Arguments &arguments,
                   std::span<const Parameter> parameters, std::span<Value> values);

/// A macro, a method bound to its object, or a global function.
struct Callable {
  enum class Kind { Macro, Method, Global, LoopCycle, LoopChanged };
  Kind kind;
  std::string_view name;
  Value self;                       ///< of a method or a loop's function
  const Statement *macro = nullptr; ///< of a macro
  std::shared_ptr<Scope> scope;     ///< where the macro was defined
};

/// The `loop` variable of one run of a for statement.
struct Loop {
  const Statement *statement;
  std::shared_ptr<Scope> scope; ///< around the statement; kept by recursive loops only
  std::vector<Value> items;
  size_t index = 0;
  unsigned level = 0;           ///< of a recursive loop
  std::vector<Value> last = {}; ///< arguments of the latest `changed`
  bool asked = false;           ///< whether `changed` was called
};

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJACALL_H
