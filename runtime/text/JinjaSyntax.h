// The syntax tree of a chat template.

#ifndef MOEC_RUNTIME_TEXT_JINJASYNTAX_H
#define MOEC_RUNTIME_TEXT_JINJASYNTAX_H

#include "runtime/text/JinjaValue.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace moec::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

/// One argument of a call, filter or test.
struct Argument {
  enum class Kind { Positional, Named, Spread, NamedSpread };
  Kind kind;
  std::string name; ///< of a named one
  ExpressionPtr value;
};

struct Expression {
  enum class Kind {
    Literal,     ///< value
    Name,        ///< text
    List,        ///< parts
    Tuple,       ///< parts
    Mapping,     ///< parts: key, value, key, value ...
    Not,         ///< parts[0]
    Negate,      ///< parts[0]
    Plus,        ///< parts[0]
    And,         ///< parts[0], parts[1]
    Or,          ///< parts[0], parts[1]
    Arithmetic,  ///< text is the operator
    Compare,     ///< parts, and between each pair one of operators
    Concatenate, ///< parts
    Choice,      ///< parts: condition, value, and perhaps the other value
    Attribute,   ///< parts[0], text
    Item,        ///< parts[0], parts[1]
    Slice,       ///< parts: object, start, stop, step; null where left out
    Call,        ///< parts[0], arguments
    Filter,      ///< parts[0], text, arguments
    Test,        ///< parts[0], text, arguments
  };
  Kind kind;
  uint32_t line;
  unsigned depth = 1; ///< of the tree below
  std::string text;
  Value value;
  std::vector<ExpressionPtr> parts;
  std::vector<std::string> operators;
  std::vector<Argument> arguments;
};

struct Statement;
using Body = std::vector<Statement>;

/// What may stand left of an assignment.
struct Target {
  enum class Kind { Name, Attribute, Tuple };
  Kind kind;
  std::string name;
  std::string attribute;     ///< of a namespace called `name`
  std::vector<Target> parts; ///< of a tuple
};

struct Statement {
  enum class Kind {
    Data,     ///< text
    Output,   ///< expression
    If,       ///< conditions[i] guards bodies[i]; a last body without condition is the else
    For,      ///< target, expression, condition (or null), bodies[0], bodies[1] the else
    Set,      ///< target, expression
    SetBlock, ///< target, bodies[0], expression (a chain of filters over Captured, or null)
    Filter,   ///< expression (a chain of filters over Captured), bodies[0]
    Macro,    ///< text, parameters, bodies[0]
    With,     ///< targets[i] = conditions[i], bodies[0]
    Scope,    ///< bodies[0] in a scope of its own: a generation block
    Break,
    Continue,
  };
  struct Parameter {
    std::string name;
    ExpressionPtr fallback; ///< null where it has none
  };
  Kind kind;
  uint32_t line;
  std::string text;
  ExpressionPtr expression;
  ExpressionPtr condition;
  std::vector<ExpressionPtr> conditions;
  std::vector<Body> bodies;
  std::vector<Target> targets;
  std::vector<Parameter> parameters;
  bool recursive = false;      ///< for: `loop(...)` renders the body again
  bool takesMore = false;      ///< macro: reads `varargs`
  bool takesMoreNamed = false; ///< macro: reads `kwargs`
};

/// The name under which a block's own text is passed to its filters; no template can spell it.
inline constexpr std::string_view capturedName = "{captured}";

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJASYNTAX_H
