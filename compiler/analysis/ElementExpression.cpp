// Makes expressions of elements: integers as polynomials, truth values with few connectives.

#include "compiler/analysis/ElementExpression.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <limits>

using namespace mlir;
using namespace moec;
using Kind = Element::Kind;

static void profile(llvm::FoldingSetNodeID &id, Kind kind, unsigned level, Attribute attribute,
                    StringAttr name, Value tensor, ArrayRef<Expr> operands,
                    ArrayRef<int64_t> factors) {
  id.AddInteger(static_cast<int>(kind));
  id.AddInteger(level);
  id.AddPointer(attribute.getAsOpaquePointer());
  id.AddPointer(name.getAsOpaquePointer());
  id.AddPointer(tensor.getAsOpaquePointer());
  for (Expr operand : operands)
    id.AddPointer(operand);
  for (int64_t factor : factors)
    id.AddInteger(factor);
}

void Element::Profile(llvm::FoldingSetNodeID &id) const {
  profile(id, kind, level, attribute, name, tensor, operands, factors);
}

std::optional<int64_t> Element::integer() const {
  auto value = dyn_cast_or_null<IntegerAttr>(attribute);
  if (kind != Kind::Number || !value || !value.getType().isIndex())
    return std::nullopt;
  return value.getInt();
}

std::optional<double> Element::real() const {
  auto value = dyn_cast_or_null<FloatAttr>(attribute);
  if (kind != Kind::Number || !value)
    return std::nullopt;
  return value.getValueAsDouble();
}

Expr ElementTable::get(Node node) {
  llvm::FoldingSetNodeID id;
  profile(id, node.kind, node.level, node.attribute, node.name, node.tensor, node.operands,
          node.factors);
  void *place = nullptr;
  if (Element *known = elements.FindNodeOrInsertPos(id, place))
    return known;
  auto *made = new (memory) Element();
  made->kind = node.kind;
  made->level = node.level;
  made->attribute = node.attribute;
  made->name = node.name;
  made->tensor = node.tensor;
  made->operands = node.operands.copy(memory);
  made->factors = node.factors.copy(memory);
  made->number = count++;
  for (Expr operand : node.operands)
    made->loops |= operand->loops;
  if (node.kind == Kind::Loop)
    made->loops |= uint64_t(1) << node.level;
  if (node.kind == Kind::Fold)
    made->loops =
        (node.operands[1]->loops & ~(uint64_t(1) << node.level)) | node.operands[0]->loops;
  elements.InsertNode(made, place);
  return made;
}

Expr ElementTable::number(int64_t value) { return number(Builder(context).getIndexAttr(value)); }
Expr ElementTable::number(Attribute value) {
  if (auto integer = dyn_cast<IntegerAttr>(value))
    if (!integer.getType().isIndex() && !integer.getType().isInteger(1))
      return number(integer.getValue().getSExtValue());
  return get({.kind = Kind::Number, .attribute = value});
}
Expr ElementTable::boolean(bool value) { return number(BoolAttr::get(context, value)); }

Expr ElementTable::loop(unsigned level, Expr extent) {
  assert(level < 64 && "levels are bits of a word");
  if (extent->integer() == 1)
    return number(0);
  return get({.kind = Kind::Loop, .level = level, .operands = extent});
}
Expr ElementTable::size(Value tensor, unsigned dimension) {
  return get({.kind = Kind::Size, .level = dimension, .tensor = tensor});
}
Expr ElementTable::read(Value tensor, ArrayRef<Expr> place) {
  return get({.kind = Kind::Read, .tensor = tensor, .operands = place});
}
Expr ElementTable::entry(Value places, ArrayRef<Expr> place) {
  return get({.kind = Kind::Entry, .tensor = places, .operands = place});
}

/// What leaves the other operand of `name` as it is.
static std::optional<double> neutralOf(StringRef name) {
  return llvm::StringSwitch<std::optional<double>>(name)
      .Case("arith.addf", 0.0)
      .Case("arith.mulf", 1.0)
      .Cases({"arith.maximumf", "arith.maxnumf"}, -std::numeric_limits<double>::infinity())
      .Default(std::nullopt);
}

Expr ElementTable::apply(StringRef name, ArrayRef<Expr> operands, Attribute attributes) {
  if (std::optional<double> neutral = neutralOf(name))
    for (unsigned side : {0, 1})
      if (operands[side]->real() == neutral)
        return operands[1 - side];
  return get({.kind = Kind::Apply,
              .attribute = attributes,
              .name = StringAttr::get(context, name),
              .operands = operands});
}

Expr ElementTable::fold(StringRef name, unsigned level, Expr extent, Expr body) {
  if (body->isZero() && (name == "arith.addf" || name == "arith.addi"))
    return body;
  if (extent->integer() == 1) // whose loop is 0
    return body;
  return get({.kind = Kind::Fold,
              .level = level,
              .name = StringAttr::get(context, name),
              .operands = {extent, body}});
}

// Integers

void ElementTable::Polynomial::add(Expr product, int64_t factor) {
  auto place = llvm::lower_bound(
      terms, product, [](const auto &term, Expr e) { return term.first->number < e->number; });
  if (place == terms.end() || place->first != product)
    terms.insert(place, {product, factor});
  else if ((place->second += factor) == 0)
    terms.erase(place);
}

ElementTable::Polynomial ElementTable::polynomial(Expr e) {
  Polynomial p;
  if (std::optional<int64_t> value = e->integer())
    p.constant = *value;
  else if (e->is(Kind::Total)) {
    for (auto [operand, factor] : llvm::zip(e->operands, e->factors))
      p.terms.emplace_back(operand, factor);
    p.constant = e->factors.back();
  } else {
    p.terms.emplace_back(e, 1);
  }
  return p;
}

Expr ElementTable::total(Polynomial p) {
  if (p.terms.empty())
    return number(p.constant);
  if (p.terms.size() == 1 && p.terms[0].second == 1 && p.constant == 0)
    return p.terms[0].first;
  SmallVector<Expr> operands;
  SmallVector<int64_t> factors;
  for (auto [operand, factor] : p.terms) {
    operands.push_back(operand);
    factors.push_back(factor);
  }
  factors.push_back(p.constant);
  return get({.kind = Kind::Total, .operands = operands, .factors = factors});
}

Expr ElementTable::combine(Expr a, Expr b, int64_t factor) {
  Polynomial sum = polynomial(a), other = polynomial(b);
  for (auto [product, by] : other.terms)
    sum.add(product, factor * by);
  sum.constant += factor * other.constant;
  return total(std::move(sum));
}

static ArrayRef<Expr> factorsOf(const Expr &e) {
  return e->is(Kind::Product) ? e->operands : ArrayRef<Expr>(e);
}

Expr ElementTable::product(ArrayRef<Expr> factors) {
  if (factors.size() == 1)
    return factors.front();
  SmallVector<Expr> sorted(factors);
  llvm::sort(sorted, [](Expr a, Expr b) { return a->number < b->number; });
  return get({.kind = Kind::Product, .operands = sorted});
}

Expr ElementTable::mul(Expr a, Expr b) {
  const Polynomial left = polynomial(a), right = polynomial(b);
  Polynomial result;
  for (auto [x, by] : left.terms) {
    for (auto [y, times] : right.terms) {
      SmallVector<Expr> factors(factorsOf(x));
      llvm::append_range(factors, factorsOf(y));
      result.add(product(factors), by * times);
    }
    if (right.constant)
      result.add(x, by * right.constant);
  }
  if (left.constant)
    for (auto [y, times] : right.terms)
      result.add(y, left.constant * times);
  result.constant = left.constant * right.constant;
  return total(std::move(result));
}

/// `e` without `factors`, each of which it has.
static std::optional<SmallVector<Expr>> without(Expr e, ArrayRef<Expr> factors) {
  SmallVector<Expr> rest(factorsOf(e));
  for (Expr factor : factors) {
    auto place = llvm::find(rest, factor);
    if (place == rest.end())
      return std::nullopt;
    rest.erase(place);
  }
  return rest;
}

/// Quotient and remainder: what is a multiple whatever loops are, and the rest, which is proved to
/// be smaller.
std::optional<std::pair<Expr, Expr>> ElementTable::divide(Expr a, Expr by) {
  const Polynomial divisor = polynomial(by);
  if (divisor.terms.size() + (divisor.constant != 0) != 1)
    return std::nullopt;
  const int64_t factor = divisor.terms.empty() ? divisor.constant : divisor.terms[0].second;
  if (factor <= 0)
    return std::nullopt;
  ArrayRef<Expr> symbols;
  if (!divisor.terms.empty())
    symbols = factorsOf(divisor.terms[0].first);
  const Polynomial dividend = polynomial(a);
  Polynomial rest;
  Expr quotient = number(0);
  for (auto [product, times] : dividend.terms) {
    std::optional<SmallVector<Expr>> others =
        times % factor == 0 ? without(product, symbols) : std::nullopt;
    if (!others) {
      rest.add(product, times);
      continue;
    }
    Expr part = others->empty() ? number(1) : this->product(*others);
    quotient = add(quotient, mul(part, number(times / factor)));
  }
  rest.constant = dividend.constant;
  if (symbols.empty() && rest.constant >= factor) {
    quotient = add(quotient, number(rest.constant / factor));
    rest.constant %= factor;
  }
  Expr remainder = total(std::move(rest));
  if (!isNonNegative(remainder) || !isPositive(sub(by, remainder)))
    return std::nullopt;
  return std::pair(quotient, remainder);
}

Expr ElementTable::quotient(Expr a, Expr by) {
  if (auto both = divide(a, by))
    return both->first;
  return isNonNegative(a) ? apply("quotient", {a, by}) : nullptr;
}

Expr ElementTable::remainder(Expr a, Expr by) {
  if (auto both = divide(a, by))
    return both->second;
  return isNonNegative(a) ? apply("remainder", {a, by}) : nullptr;
}

Expr ElementTable::min(Expr a, Expr b) {
  if (isNonNegative(sub(b, a)))
    return a;
  return isNonNegative(sub(a, b)) ? b : apply("min", {a, b});
}

Expr ElementTable::max(Expr a, Expr b) {
  if (isNonNegative(sub(a, b)))
    return a;
  return isNonNegative(sub(b, a)) ? b : apply("max", {a, b});
}

Expr ElementTable::most(Expr e) {
  if (e->is(Kind::Loop))
    return sub(e->operands[0], number(1));
  if (e->is(Kind::Read))
    if (Expr bound = bounds.lookup(e->tensor))
      return sub(bound, number(1));
  return e->applies("remainder") ? sub(e->operands[1], number(1)) : nullptr;
}

bool ElementTable::isNonNegativeAtom(Expr e) {
  switch (e->kind) {
  case Kind::Loop:
  case Kind::Size:
  case Kind::Entry:
    return true;
  case Kind::Read:
    return bounds.contains(e->tensor);
  case Kind::Product:
    return llvm::all_of(e->operands, [&](Expr factor) { return isNonNegativeAtom(factor); });
  default: // quotients and remainders are of what is not negative
    return e->applies("quotient") || e->applies("remainder");
  }
}

bool ElementTable::isNonNegative(Expr e) {
  Polynomial p = polynomial(e);
  // What is subtracted is at most as much as with each index at its largest.
  for (unsigned tries = 0; tries < 16; ++tries) {
    auto negative = llvm::find_if(p.terms, [](const auto &term) { return term.second < 0; });
    if (negative == p.terms.end())
      break;
    auto [product, factor] = *negative;
    if (!isNonNegativeAtom(product))
      return false;
    SmallVector<Expr> others(factorsOf(product));
    auto bounded = llvm::find_if(others, [&](Expr each) { return most(each) != nullptr; });
    if (bounded == others.end())
      return false;
    Expr largest = most(*bounded);
    others.erase(bounded);
    Expr rest = others.empty() ? number(1) : this->product(others);
    p.terms.erase(negative);
    const Polynomial replaced = polynomial(mul(mul(largest, rest), number(factor)));
    for (auto [other, times] : replaced.terms)
      p.add(other, times);
    p.constant += replaced.constant;
  }
  return p.constant >= 0 && llvm::all_of(p.terms, [&](const auto &term) {
           return term.second >= 0 && isNonNegativeAtom(term.first);
         });
}

// Truth values

Expr ElementTable::equal(Expr a, Expr b) {
  if (a == b)
    return boolean(true);
  // One of two numbers equals a number under one condition.
  for (auto [choice, other] : {std::pair(a, b), std::pair(b, a)})
    if (choice->applies("select") && other->integer() && choice->operands[1]->integer() &&
        choice->operands[2]->integer())
      return select(choice->operands[0], equal(choice->operands[1], other),
                    equal(choice->operands[2], other));
  Expr difference = sub(a, b);
  if (std::optional<int64_t> known = difference->integer())
    return boolean(*known == 0);
  if (isPositive(difference) || isPositive(sub(b, a)))
    return boolean(false);
  // One of the two differences stands for both.
  if (polynomial(difference).terms.front().second < 0)
    difference = sub(b, a);
  return apply("is_zero", difference);
}

Expr ElementTable::less(Expr a, Expr b) {
  if (isPositive(sub(b, a)))
    return boolean(true);
  return isNonNegative(sub(a, b)) ? boolean(false) : apply("less", {a, b});
}

Expr ElementTable::negation(Expr a) {
  if (auto known = dyn_cast_or_null<IntegerAttr>(a->attribute); known && a->is(Kind::Number))
    return boolean(known.getValue().isZero());
  return a->applies("not") ? a->operands[0] : apply("not", a);
}

Expr ElementTable::both(Expr a, Expr b) {
  for (auto [one, other] : {std::pair(a, b), std::pair(b, a)})
    if (one->is(Kind::Number))
      return cast<IntegerAttr>(one->attribute).getValue().isZero() ? one : other;
  if (a == b)
    return a;
  if (a == negation(b))
    return boolean(false);
  return apply("and", {a, b});
}

Expr ElementTable::select(Expr condition, Expr yes, Expr no) {
  if (condition->is(Kind::Number))
    return cast<IntegerAttr>(condition->attribute).getValue().isZero() ? no : yes;
  if (yes == no)
    return yes;
  if (yes == boolean(true) && no == boolean(false))
    return condition;
  if (yes == boolean(false) && no == boolean(true))
    return negation(condition);
  if (condition->applies("not"))
    return select(condition->operands[0], no, yes);
  return apply("select", {condition, yes, no});
}

Expr ElementTable::substitute(Expr e, unsigned level, Expr by) {
  if (!e->dependsOn(level))
    return e;
  if (e->is(Kind::Loop))
    return by;
  if (e->is(Kind::Fold) && by->dependsOn(e->level))
    return nullptr;
  SmallVector<Expr> operands;
  for (Expr operand : e->operands)
    if (Expr replaced = substitute(operand, level, by))
      operands.push_back(replaced);
    else
      return nullptr;
  if (e->is(Kind::Total)) {
    Expr sum = number(e->factors.back());
    for (auto [operand, factor] : llvm::zip(operands, e->factors))
      sum = add(sum, mul(operand, number(factor)));
    return sum;
  }
  if (e->is(Kind::Product)) {
    Expr all = operands.front();
    for (Expr operand : ArrayRef<Expr>(operands).drop_front())
      all = mul(all, operand);
    return all;
  }
  return get({.kind = e->kind,
              .level = e->level,
              .attribute = e->attribute,
              .name = e->name,
              .tensor = e->tensor,
              .operands = operands,
              .factors = e->factors});
}
