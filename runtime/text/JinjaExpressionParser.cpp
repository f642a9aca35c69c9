// Parses the expressions of a chat template.

#include "runtime/text/JinjaExpressionParser.h"

#include "runtime/text/JinjaBuiltins.h"

#include <algorithm>

using namespace moec;
using namespace moec::jinja;

using Kind = Expression::Kind;

static constexpr unsigned mostNesting = 150;

ExpressionParser::Nesting::Nesting(ExpressionParser &parser) : parser(parser) {
  if (++parser.nesting > mostNesting)
    parser.fail("the template nests deeper than " + std::to_string(mostNesting));
}

bool ExpressionParser::fail(std::string message, Code code) {
  if (!failed())
    failure = {code,
               "chat template, line " + std::to_string(current().line) + ": " + std::move(message)};
  return false;
}

std::string ExpressionParser::describe(const Token &token) {
  switch (token.kind) {
  case Token::Kind::End:
    return "the end of the template";
  case Token::Kind::BlockEnd:
    return "`%}`";
  case Token::Kind::OutputEnd:
    return "`}}`";
  case Token::Kind::String:
    return "a string";
  default:
    return "`" + token.text + "`";
  }
}

bool ExpressionParser::expect(Token::Kind kind, std::string_view spelling,
                              std::string_view wanted) {
  if (failed())
    return false;
  if (current().kind != kind || (!spelling.empty() && current().text != spelling))
    return fail("wanted " + std::string(wanted) + ", found " + describe(current()));
  next();
  return true;
}

bool ExpressionParser::skipName(std::string_view name) {
  if (failed() || !current().is(Token::Kind::Name, name))
    return false;
  next();
  return true;
}

bool ExpressionParser::skipOperator(std::string_view spelling) {
  if (failed() || !current().is(Token::Kind::Operator, spelling))
    return false;
  next();
  return true;
}

ExpressionPtr ExpressionParser::make(Expression::Kind kind, uint32_t line) {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = line;
  return made;
}

void ExpressionParser::deepen(Expression &whole, const Expression *part) {
  if (part)
    whole.depth = std::max(whole.depth, part->depth + 1);
  // Chains such as `a + b + c` grow deep without recursion here, but not when evaluated.
  if (whole.depth > mostNesting * 2)
    fail("an expression is deeper than " + std::to_string(mostNesting * 2));
}

void ExpressionParser::attach(Expression &whole, ExpressionPtr part) {
  deepen(whole, part.get());
  whole.parts.push_back(std::move(part));
}

ExpressionPtr ExpressionParser::captured() const {
  auto name = std::make_unique<Expression>();
  name->kind = Kind::Name;
  name->line = current().line;
  name->text = capturedName;
  return name;
}

ExpressionPtr ExpressionParser::parseExpression() {
  Nesting nesting(*this);
  if (failed())
    return nullptr;
  uint32_t line = current().line;
  ExpressionPtr value = parseOr();
  while (skipName("if")) {
    Certainty uncertain(*this);
    ExpressionPtr choice = make(Kind::Choice, line);
    attach(*choice, parseOr());
    attach(*choice, std::move(value));
    if (skipName("else"))
      attach(*choice, parseExpression());
    value = std::move(choice);
    line = current().line;
  }
  return value;
}

ExpressionPtr ExpressionParser::parseOr() {
  ExpressionPtr left = parseAnd();
  while (!failed() && current().is(Token::Kind::Name, "or")) {
    ExpressionPtr both = make(Kind::Or, current().line);
    next();
    attach(*both, std::move(left));
    attach(*both, parseAnd());
    left = std::move(both);
  }
  return left;
}

ExpressionPtr ExpressionParser::parseAnd() {
  ExpressionPtr left = parseNot();
  while (!failed() && current().is(Token::Kind::Name, "and")) {
    ExpressionPtr both = make(Kind::And, current().line);
    next();
    attach(*both, std::move(left));
    attach(*both, parseNot());
    left = std::move(both);
  }
  return left;
}

ExpressionPtr ExpressionParser::parseNot() {
  uint32_t line = current().line;
  if (!skipName("not"))
    return parseCompare();
  Nesting nesting(*this);
  if (failed())
    return nullptr;
  ExpressionPtr negated = make(Kind::Not, line);
  attach(*negated, parseNot());
  return negated;
}

ExpressionPtr ExpressionParser::parseCompare() {
  ExpressionPtr first = parseSum();
  ExpressionPtr chain;
  while (!failed()) {
    static constexpr std::string_view operators[] = {"==", "!=", "<", "<=", ">", ">="};
    const Token &token = current();
    std::string found;
    if (token.kind == Token::Kind::Operator &&
        std::find(std::begin(operators), std::end(operators), token.text) != std::end(operators))
      found = token.text;
    else if (token.is(Token::Kind::Name, "in"))
      found = "in";
    else if (token.is(Token::Kind::Name, "not") && ahead().is(Token::Kind::Name, "in"))
      found = "not in";
    else
      break;
    if (!chain) {
      chain = make(Kind::Compare, token.line);
      attach(*chain, std::move(first));
    }
    next();
    if (found == "not in")
      next();
    chain->operators.push_back(std::move(found));
    attach(*chain, parseSum());
  }
  return chain ? std::move(chain) : std::move(first);
}

ExpressionPtr ExpressionParser::parseBinary(ExpressionPtr (ExpressionParser::*operand)(), Kind kind,
                                            std::initializer_list<std::string_view> operators) {
  ExpressionPtr left = (this->*operand)();
  while (!failed() && current().kind == Token::Kind::Operator &&
         std::find(operators.begin(), operators.end(), current().text) != operators.end()) {
    ExpressionPtr whole = make(kind, current().line);
    whole->text = current().text;
    next();
    attach(*whole, std::move(left));
    attach(*whole, (this->*operand)());
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr ExpressionParser::parseSum() {
  return parseBinary(&ExpressionParser::parseConcatenation, Kind::Arithmetic, {"+", "-"});
}

ExpressionPtr ExpressionParser::parseConcatenation() {
  ExpressionPtr first = parseProduct();
  if (failed() || !current().is(Token::Kind::Operator, "~"))
    return first;
  ExpressionPtr whole = make(Kind::Concatenate, current().line);
  attach(*whole, std::move(first));
  while (skipOperator("~"))
    attach(*whole, parseProduct());
  return whole;
}

ExpressionPtr ExpressionParser::parseProduct() {
  return parseBinary(&ExpressionParser::parsePower, Kind::Arithmetic, {"*", "/", "//", "%"});
}

ExpressionPtr ExpressionParser::parsePower() {
  // Unlike Python's, Jinja's power joins from the left and binds less than a sign.
  Nesting nesting(*this);
  ExpressionPtr left = parseUnary(true);
  while (!failed() && current().is(Token::Kind::Operator, "**")) {
    ExpressionPtr whole = make(Kind::Arithmetic, current().line);
    whole->text = "**";
    next();
    attach(*whole, std::move(left));
    attach(*whole, parseUnary(true));
    left = std::move(whole);
  }
  return left;
}

ExpressionPtr ExpressionParser::parseUnary(bool filters) {
  Nesting nesting(*this);
  if (failed())
    return nullptr;
  uint32_t line = current().line;
  ExpressionPtr value;
  if (skipOperator("-")) {
    value = make(Kind::Negate, line);
    attach(*value, parseUnary(false));
  } else if (skipOperator("+")) {
    value = make(Kind::Plus, line);
    attach(*value, parseUnary(false));
  } else {
    value = parsePrimary();
  }
  value = parsePostfix(std::move(value));
  return filters ? parseFiltersAndTests(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::parsePrimary() {
  if (failed())
    return nullptr;
  const Token &token = current();
  ExpressionPtr value = make(Kind::Literal, token.line);
  switch (token.kind) {
  case Token::Kind::Name:
    if (token.text == "true" || token.text == "True" || token.text == "false" ||
        token.text == "False") {
      value->value = (token.text[0] | 0x20) == 't';
    } else if (token.text == "none" || token.text == "None") {
      value->value = None{};
    } else {
      value->kind = Kind::Name;
      value->text = token.text;
      macroReads.more |= token.text == "varargs";
      macroReads.moreNamed |= token.text == "kwargs";
    }
    next();
    return value;
  case Token::Kind::String: {
    std::string text; // strings side by side are one
    for (; current().kind == Token::Kind::String; next())
      text += current().text;
    value->value = std::move(text);
    return value;
  }
  case Token::Kind::Integer:
    value->value = token.integer;
    next();
    return value;
  case Token::Kind::Float:
    value->value = token.real;
    next();
    return value;
  case Token::Kind::Operator:
    if (token.text == "[")
      return parseList();
    if (token.text == "{")
      return parseMapping();
    if (token.text == "(") {
      next();
      value = parseTuple(true);
      expect(Token::Kind::Operator, ")", "`)`");
      return value;
    }
    break;
  default:
    break;
  }
  fail("wanted an expression, found " + describe(token));
  return nullptr;
}

ExpressionPtr ExpressionParser::parseTuple(bool brackets, bool choices, std::string_view end) {
  ExpressionPtr tuple;
  ExpressionPtr single;
  while (!failed()) {
    const Token &token = current();
    bool ended = token.kind == Token::Kind::OutputEnd || token.kind == Token::Kind::BlockEnd ||
                 token.is(Token::Kind::Operator, ")") ||
                 (!end.empty() && token.is(Token::Kind::Name, end));
    if (ended)
      break;
    single = choices ? parseExpression() : parseOr();
    bool comma = !failed() && current().is(Token::Kind::Operator, ",");
    if (comma && !tuple)
      tuple = make(Kind::Tuple, current().line);
    if (tuple)
      attach(*tuple, std::move(single));
    if (!comma)
      break;
    next();
  }
  if (tuple)
    return tuple;
  if (!single && brackets)
    return make(Kind::Tuple, current().line);
  if (!single)
    fail("wanted an expression, found " + describe(current()));
  return single;
}

ExpressionPtr ExpressionParser::parseList() {
  ExpressionPtr list = make(Kind::List, current().line);
  next();
  while (!failed() && !current().is(Token::Kind::Operator, "]")) {
    attach(*list, parseExpression());
    if (!skipOperator(","))
      break;
  }
  expect(Token::Kind::Operator, "]", "`]`");
  return list;
}

ExpressionPtr ExpressionParser::parseMapping() {
  ExpressionPtr mapping = make(Kind::Mapping, current().line);
  next();
  while (!failed() && !current().is(Token::Kind::Operator, "}")) {
    attach(*mapping, parseExpression());
    expect(Token::Kind::Operator, ":", "`:`");
    attach(*mapping, parseExpression());
    if (!skipOperator(","))
      break;
  }
  expect(Token::Kind::Operator, "}", "`}`");
  return mapping;
}

ExpressionPtr ExpressionParser::parsePostfix(ExpressionPtr object) {
  while (!failed()) {
    if (current().is(Token::Kind::Operator, ".") || current().is(Token::Kind::Operator, "["))
      object = parseSubscript(std::move(object));
    else if (current().is(Token::Kind::Operator, "("))
      object = parseCall(std::move(object));
    else
      break;
  }
  return object;
}

ExpressionPtr ExpressionParser::parseSubscript(ExpressionPtr object) {
  ExpressionPtr subscript = make(Kind::Item, current().line);
  attach(*subscript, std::move(object));
  if (skipOperator(".")) {
    const Token &token = current();
    if (token.kind == Token::Kind::Name) {
      subscript->kind = Kind::Attribute;
      subscript->text = token.text;
    } else if (token.kind == Token::Kind::Integer) {
      ExpressionPtr index = make(Kind::Literal, token.line);
      index->value = token.integer;
      attach(*subscript, std::move(index));
    } else {
      fail("wanted a name or a number after `.`, found " + describe(token));
    }
    next();
    return subscript;
  }
  next();
  ExpressionPtr bounds[3];
  bool slice = false;
  if (!current().is(Token::Kind::Operator, ":"))
    bounds[0] = parseTuple(false);
  for (int i = 1; i < 3 && skipOperator(":"); ++i) {
    slice = true;
    if (!current().is(Token::Kind::Operator, ":") && !current().is(Token::Kind::Operator, "]"))
      bounds[i] = parseExpression();
  }
  expect(Token::Kind::Operator, "]", "`]`");
  if (slice)
    subscript->kind = Kind::Slice;
  for (int i = 0; i < (slice ? 3 : 1); ++i)
    attach(*subscript, std::move(bounds[i]));
  return subscript;
}

bool ExpressionParser::parseArguments(Expression &call) {
  if (!expect(Token::Kind::Operator, "(", "`(`"))
    return false;
  Argument::Kind last = Argument::Kind::Positional;
  while (!failed() && !current().is(Token::Kind::Operator, ")")) {
    Argument argument{Argument::Kind::Positional, {}, nullptr};
    if (skipOperator("*")) {
      argument.kind = Argument::Kind::Spread;
    } else if (skipOperator("**")) {
      argument.kind = Argument::Kind::NamedSpread;
    } else if (current().kind == Token::Kind::Name && ahead().is(Token::Kind::Operator, "=")) {
      argument.kind = Argument::Kind::Named;
      argument.name = current().text;
      next();
      next();
    }
    if (argument.kind == Argument::Kind::Positional && last != Argument::Kind::Positional)
      return fail("an argument without name follows one with a name");
    last = argument.kind;
    argument.value = parseExpression();
    deepen(call, argument.value.get());
    call.arguments.push_back(std::move(argument));
    if (!skipOperator(","))
      break;
  }
  return expect(Token::Kind::Operator, ")", "`)`");
}

ExpressionPtr ExpressionParser::parseCall(ExpressionPtr object) {
  ExpressionPtr call = make(Kind::Call, current().line);
  attach(*call, std::move(object));
  parseArguments(*call);
  return call;
}

ExpressionPtr ExpressionParser::parseFilters(ExpressionPtr input, bool first) {
  while (!failed() && (first || current().is(Token::Kind::Operator, "|"))) {
    if (!first)
      next();
    first = false;
    ExpressionPtr filter = make(Kind::Filter, current().line);
    filter->text = current().text;
    if (current().kind != Token::Kind::Name) {
      fail("wanted a filter, found " + describe(current()));
      return nullptr;
    }
    if (!uncertain && !findFilter(filter->text))
      fail("the filter `" + filter->text + "` is not supported", Code::Unsupported);
    next();
    attach(*filter, std::move(input));
    if (!failed() && current().is(Token::Kind::Operator, "("))
      parseArguments(*filter);
    input = std::move(filter);
  }
  return input;
}

ExpressionPtr ExpressionParser::parseTest(ExpressionPtr object) {
  bool negated = skipName("not");
  ExpressionPtr test = make(Kind::Test, current().line);
  test->text = current().text;
  if (current().kind != Token::Kind::Name) {
    fail("wanted a test after `is`, found " + describe(current()));
    return nullptr;
  }
  if (!uncertain && !findTest(test->text))
    fail("the test `" + test->text + "` is not supported", Code::Unsupported);
  next();
  attach(*test, std::move(object));
  const Token &token = current();
  bool operand = token.kind == Token::Kind::String || token.kind == Token::Kind::Integer ||
                 token.kind == Token::Kind::Float || token.is(Token::Kind::Operator, "[") ||
                 token.is(Token::Kind::Operator, "{") ||
                 (token.kind == Token::Kind::Name && token.text != "else" && token.text != "or" &&
                  token.text != "and");
  if (!failed() && token.is(Token::Kind::Operator, "(")) {
    parseArguments(*test);
  } else if (!failed() && operand) {
    if (token.text == "is" && token.kind == Token::Kind::Name)
      fail("tests cannot be chained with `is`");
    Nesting nesting(*this);
    ExpressionPtr value = parsePostfix(parsePrimary());
    deepen(*test, value.get());
    test->arguments.push_back({Argument::Kind::Positional, {}, std::move(value)});
  }
  if (!negated)
    return test;
  ExpressionPtr inverse = make(Kind::Not, test->line);
  attach(*inverse, std::move(test));
  return inverse;
}

ExpressionPtr ExpressionParser::parseFiltersAndTests(ExpressionPtr object) {
  while (!failed()) {
    if (current().is(Token::Kind::Operator, "|"))
      object = parseFilters(std::move(object));
    else if (skipName("is"))
      object = parseTest(std::move(object));
    else if (current().is(Token::Kind::Operator, "("))
      object = parseCall(std::move(object));
    else
      break;
  }
  return object;
}
