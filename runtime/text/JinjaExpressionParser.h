// Parses the expressions of a chat template; the statement parser builds on it.

#ifndef MOEC_RUNTIME_TEXT_JINJAEXPRESSIONPARSER_H
#define MOEC_RUNTIME_TEXT_JINJAEXPRESSIONPARSER_H

#include "runtime/text/JinjaLexer.h"
#include "runtime/text/JinjaSyntax.h"

namespace moec::jinja {

/// A cursor over tokens that never passes the last one, and the grammar of expressions. After a
/// failure every function returns at once; what it returns is then of no use.
class ExpressionParser {
public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens(std::move(tokens)) {}

  bool failed() const { return !failure.ok(); }
  const Status &status() const { return failure; }

protected:
  const Token &current() const { return tokens[at]; }
  const Token &ahead() const { return tokens[std::min(at + 1, tokens.size() - 1)]; }
  void next() {
    if (at + 1 < tokens.size())
      ++at;
  }
  /// Ends the parse at the current token; the first failure stays. Returns false.
  bool fail(std::string message, Code code = Code::Model);
  static std::string describe(const Token &token);
  /// Takes a token of this kind, and spelling if one is given; fails with what was `wanted`
  /// otherwise.
  bool expect(Token::Kind kind, std::string_view spelling, std::string_view wanted);
  bool skipName(std::string_view name);
  bool skipOperator(std::string_view spelling);

  ExpressionPtr parseExpression();
  /// One expression, or several with commas as a tuple. `()` alone counts only inside brackets.
  /// Without `choices`, `if` ends it, and so does the name `end`.
  ExpressionPtr parseTuple(bool brackets, bool choices = true, std::string_view end = {});
  /// Filters applied to `input`; with `first`, the first one without its bar.
  ExpressionPtr parseFilters(ExpressionPtr input, bool first = false);
  /// Stands for the text of the block that filters are applied to.
  ExpressionPtr captured() const;

  /// Counts how deep the grammar nests, and fails where the stack might not do.
  struct Nesting {
    explicit Nesting(ExpressionParser &parser);
    ~Nesting() { --parser.nesting; }
    ExpressionParser &parser;
  };
  /// While one lives, an unknown filter or test is an error only when it is reached.
  struct Certainty {
    explicit Certainty(ExpressionParser &parser) : parser(parser) { ++parser.uncertain; }
    ~Certainty() { --parser.uncertain; }
    ExpressionParser &parser;
  };
  /// Which arguments beyond its parameters the macro being parsed asks for.
  struct MacroReads {
    bool more = false, moreNamed = false;
  };
  MacroReads macroReads;

private:
  ExpressionPtr make(Expression::Kind kind, uint32_t line);
  /// Moves `part` into `whole`.
  void attach(Expression &whole, ExpressionPtr part);
  void deepen(Expression &whole, const Expression *part);

  ExpressionPtr parseOr();
  ExpressionPtr parseAnd();
  ExpressionPtr parseNot();
  ExpressionPtr parseCompare();
  ExpressionPtr parseSum();
  ExpressionPtr parseConcatenation();
  ExpressionPtr parseProduct();
  ExpressionPtr parsePower();
  ExpressionPtr parseUnary(bool filters);
  ExpressionPtr parsePrimary();
  ExpressionPtr parseList();
  ExpressionPtr parseMapping();
  ExpressionPtr parsePostfix(ExpressionPtr object);
  ExpressionPtr parseSubscript(ExpressionPtr object);
  ExpressionPtr parseCall(ExpressionPtr object);
  ExpressionPtr parseTest(ExpressionPtr object);
  ExpressionPtr parseFiltersAndTests(ExpressionPtr object);
  bool parseArguments(Expression &call);
  ExpressionPtr parseBinary(ExpressionPtr (ExpressionParser::*operand)(), Expression::Kind kind,
                            std::initializer_list<std::string_view> operators);

  std::vector<Token> tokens;
  size_t at = 0;
  unsigned nesting = 0;
  unsigned uncertain = 0;
  Status failure;
};

} // namespace moec::jinja

#endif // MOEC_RUNTIME_TEXT_JINJAEXPRESSIONPARSER_H
