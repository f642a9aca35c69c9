// Turns the tokens of a chat template into its syntax tree: statements.

#include "runtime/text/JinjaParser.h"

#include "runtime/text/JinjaExpressionParser.h"

#include <algorithm>

using namespace moec;
using namespace moec::jinja;

namespace {

using Words = std::initializer_list<std::string_view>;

/// Statements on top of expressions. Every parse function returns false, or an incomplete node,
/// once `failed()`.
class Parser : public ExpressionParser {
public:
  using ExpressionParser::ExpressionParser;

  /// Reads up to a tag that begins with one of `ends`, which stays to be read; to the end of the
  /// template if there are none.
  Body parseBody(Words ends, std::string_view opener);

private:
  bool parseStatement(Body &body);
  bool parseIf(Statement &statement);
  bool parseFor(Statement &statement);
  bool parseSet(Statement &statement);
  bool parseMacro(Statement &statement);
  bool parseWith(Statement &statement);
  bool parseFilterBlock(Statement &statement);
  bool parseTarget(Target &target, bool attributes, Words ends);
  bool parseOneTarget(Target &target, bool attributes, unsigned depth);
  bool endTag() { return expect(Token::Kind::BlockEnd, {}, "`%}`"); }
  Body parseRest(Words ends, std::string_view opener) {
    return endTag() ? parseBody(ends, opener) : Body();
  }

  unsigned loops = 0; ///< that `break` may leave here
};

} // namespace

static Statement statementOf(Statement::Kind kind, uint32_t line) {
  Statement statement;
  statement.kind = kind;
  statement.line = line;
  return statement;
}

Body Parser::parseBody(Words ends, std::string_view opener) {
  Body body;
  Nesting nesting(*this);
  uint32_t first = current().line;
  while (!failed()) {
    const Token &token = current();
    if (token.kind == Token::Kind::End) {
      if (ends.size())
        fail("`" + std::string(opener) + "` of line " + std::to_string(first) +
             " is never closed by `" + std::string(*(ends.end() - 1)) + "`");
      break;
    }
    if (token.kind == Token::Kind::Data) {
      Statement data = statementOf(Statement::Kind::Data, token.line);
      data.text = token.text;
      body.push_back(std::move(data));
      next();
    } else if (token.kind == Token::Kind::OutputBegin) {
      Statement output = statementOf(Statement::Kind::Output, token.line);
      next();
      output.expression = parseTuple(false);
      expect(Token::Kind::OutputEnd, {}, "`}}`");
      body.push_back(std::move(output));
    } else {
      next(); // BlockBegin: nothing else stands between tags
      if (current().kind == Token::Kind::Name &&
          std::find(ends.begin(), ends.end(), current().text) != ends.end())
        break;
      if (!parseStatement(body))
        break;
      endTag();
    }
  }
  return body;
}

bool Parser::parseStatement(Body &body) {
  if (current().kind != Token::Kind::Name)
    return fail("a tag begins with a name, not with " + describe(current()));
  std::string name = current().text;
  Statement statement = statementOf(Statement::Kind::Scope, current().line);
  next();
  bool parsed = true;
  if (name == "if") {
    parsed = parseIf(statement);
  } else if (name == "for") {
    parsed = parseFor(statement);
  } else if (name == "set") {
    parsed = parseSet(statement);
  } else if (name == "macro") {
    parsed = parseMacro(statement);
  } else if (name == "with") {
    parsed = parseWith(statement);
  } else if (name == "filter") {
    parsed = parseFilterBlock(statement);
  } else if (name == "generation") {
    unsigned outer = std::exchange(loops, 0);
    statement.bodies.push_back(parseRest({"endgeneration"}, name));
    next();
    loops = outer;
  } else if (name == "break" || name == "continue") {
    statement.kind = name == "break" ? Statement::Kind::Break : Statement::Kind::Continue;
    if (!loops)
      return fail("`" + name + "` stands outside of a loop");
  } else {
    static constexpr std::string_view known[] = {"block", "extends", "include",   "import",
                                                 "from",  "call",    "print",     "trans",
                                                 "do",    "debug",   "autoescape"};
    if (std::find(std::begin(known), std::end(known), name) != std::end(known))
      return fail("the tag `" + name + "` is not supported in chat templates", Code::Unsupported);
    return fail("unknown tag `" + name + "`");
  }
  if (parsed && !failed())
    body.push_back(std::move(statement));
  return !failed();
}

bool Parser::parseIf(Statement &statement) {
  statement.kind = Statement::Kind::If;
  Certainty uncertain(*this); // what follows may never be reached
  while (!failed()) {
    statement.conditions.push_back(parseTuple(false, false));
    statement.bodies.push_back(parseRest({"elif", "else", "endif"}, "if"));
    if (failed())
      break;
    std::string end = current().text;
    next();
    if (end == "elif")
      continue;
    if (end == "else") {
      statement.bodies.push_back(parseRest({"endif"}, "else"));
      next();
    }
    break;
  }
  return !failed();
}

bool Parser::parseFor(Statement &statement) {
  statement.kind = Statement::Kind::For;
  statement.targets.emplace_back();
  if (!parseTarget(statement.targets[0], false, {"in"}) || !expect(Token::Kind::Name, "in", "`in`"))
    return false;
  statement.expression = parseTuple(false, false, "recursive");
  if (skipName("if"))
    statement.condition = parseExpression();
  statement.recursive = skipName("recursive");
  ++loops;
  statement.bodies.push_back(parseRest({"else", "endfor"}, "for"));
  --loops;
  if (failed())
    return false;
  bool otherwise = current().text == "else";
  next();
  if (otherwise) {
    statement.bodies.push_back(parseRest({"endfor"}, "else"));
    next();
  }
  return !failed();
}

bool Parser::parseSet(Statement &statement) {
  statement.kind = Statement::Kind::Set;
  statement.targets.emplace_back();
  if (!parseTarget(statement.targets[0], true, {}))
    return false;
  if (skipOperator("=")) {
    statement.expression = parseTuple(false);
    return !failed();
  }
  statement.kind = Statement::Kind::SetBlock;
  if (current().is(Token::Kind::Operator, "|"))
    statement.expression = parseFilters(captured());
  unsigned outer = std::exchange(loops, 0);
  statement.bodies.push_back(parseRest({"endset"}, "set"));
  loops = outer;
  next();
  return !failed();
}

bool Parser::parseMacro(Statement &statement) {
  statement.kind = Statement::Kind::Macro;
  if (current().kind != Token::Kind::Name)
    return fail("`macro` needs a name, found " + describe(current()));
  statement.text = current().text;
  next();
  unsigned outer = std::exchange(loops, 0);
  MacroReads reads = std::exchange(macroReads, {});
  if (!expect(Token::Kind::Operator, "(", "`(`"))
    return false;
  while (!failed() && !current().is(Token::Kind::Operator, ")")) {
    if (!statement.parameters.empty() && !expect(Token::Kind::Operator, ",", "`,`"))
      return false;
    if (current().kind != Token::Kind::Name)
      return fail("wanted a parameter of macro `" + statement.text + "`, found " +
                  describe(current()));
    Statement::Parameter parameter{current().text, nullptr};
    next();
    if (skipOperator("="))
      parameter.fallback = parseExpression();
    else if (!statement.parameters.empty() && statement.parameters.back().fallback)
      return fail("parameter `" + parameter.name + "` without default follows one with a default");
    statement.parameters.push_back(std::move(parameter));
  }
  next();
  statement.bodies.push_back(parseRest({"endmacro"}, "macro"));
  next();
  statement.takesMore = macroReads.more;
  statement.takesMoreNamed = macroReads.moreNamed;
  macroReads = reads;
  loops = outer;
  return !failed();
}

bool Parser::parseWith(Statement &statement) {
  statement.kind = Statement::Kind::With;
  while (!failed() && current().kind != Token::Kind::BlockEnd) {
    if (!statement.targets.empty() && !expect(Token::Kind::Operator, ",", "`,`"))
      return false;
    statement.targets.emplace_back();
    if (!parseOneTarget(statement.targets.back(), false, 0) ||
        !expect(Token::Kind::Operator, "=", "`=`"))
      return false;
    statement.conditions.push_back(parseExpression());
  }
  statement.bodies.push_back(parseRest({"endwith"}, "with"));
  next();
  return !failed();
}

bool Parser::parseFilterBlock(Statement &statement) {
  statement.kind = Statement::Kind::Filter;
  statement.expression = parseFilters(captured(), true);
  unsigned outer = std::exchange(loops, 0);
  statement.bodies.push_back(parseRest({"endfilter"}, "filter"));
  loops = outer;
  next();
  return !failed();
}

bool Parser::parseOneTarget(Target &target, bool attributes, unsigned depth) {
  if (depth > 20)
    return fail("targets nest deeper than 20");
  if (skipOperator("(")) {
    target.kind = Target::Kind::Tuple;
    while (!failed() && !current().is(Token::Kind::Operator, ")")) {
      if (!target.parts.empty() && !expect(Token::Kind::Operator, ",", "`,`"))
        return false;
      if (current().is(Token::Kind::Operator, ")"))
        break;
      target.parts.emplace_back();
      if (!parseOneTarget(target.parts.back(), attributes, depth + 1))
        return false;
    }
    next();
    return !failed();
  }
  static constexpr std::string_view constants[] = {"true", "false", "none",
                                                   "True", "False", "None"};
  if (current().kind != Token::Kind::Name ||
      std::find(std::begin(constants), std::end(constants), current().text) != std::end(constants))
    return fail("cannot assign to " + describe(current()));
  target.kind = Target::Kind::Name;
  target.name = current().text;
  next();
  if (attributes && skipOperator(".")) {
    if (current().kind != Token::Kind::Name)
      return fail("wanted an attribute of `" + target.name + "`, found " + describe(current()));
    target.kind = Target::Kind::Attribute;
    target.attribute = current().text;
    next();
  }
  return true;
}

bool Parser::parseTarget(Target &target, bool attributes, Words ends) {
  if (!parseOneTarget(target, attributes, 0))
    return false;
  if (!current().is(Token::Kind::Operator, ","))
    return true;
  Target tuple{Target::Kind::Tuple, {}, {}, {}};
  tuple.parts.push_back(std::move(target));
  while (skipOperator(",")) {
    bool end = current().kind == Token::Kind::BlockEnd ||
               current().is(Token::Kind::Operator, "=") ||
               (current().kind == Token::Kind::Name &&
                std::find(ends.begin(), ends.end(), current().text) != ends.end());
    if (end)
      break;
    tuple.parts.emplace_back();
    if (!parseOneTarget(tuple.parts.back(), attributes, 0))
      return false;
  }
  target = std::move(tuple);
  return true;
}

Result<Body> moec::jinja::parse(std::string_view source) {
  static constexpr size_t mostBytes = 4 << 20;
  if (source.size() > mostBytes)
    return Status{Code::Model, "the chat template has " + std::to_string(source.size()) +
                                   " bytes; at most " + std::to_string(mostBytes) + " are read"};
  Result<std::vector<Token>> tokens = tokenize(source);
  if (!tokens.ok())
    return tokens.status();
  Parser parser(std::move(*tokens));
  Body body = parser.parseBody({}, {});
  if (parser.failed())
    return parser.status();
  return body;
}
