// Sizes become arithmetic on index.

#include "frontends/onnx/import/SizeTable.h"

#include "frontends/onnx/import/ElementBuilder.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace moec;

Size SizeTable::add(Value index, bool isNegativePossible) {
  unknowns.push_back({index, isNegativePossible});
  return Size::unknown(unknowns.size() - 1);
}

Size SizeTable::addOfData(Value index, bool isNegativePossible, std::optional<Size> bound) {
  unknowns.push_back({index, isNegativePossible, /*isOfData=*/true, std::move(bound)});
  return Size::unknown(unknowns.size() - 1);
}

std::optional<Size> SizeTable::bound(const Size &size) const {
  Size result(size.offset());
  for (const Size::Term &term : size.parts()) {
    Size product(term.factor);
    for (uint32_t which : term.unknowns) {
      const Unknown &unknown = unknowns[which];
      if (unknown.isOfData && (!unknown.bound || unknown.isNegativePossible || term.factor < 0))
        return std::nullopt;
      product = product * (unknown.isOfData ? *unknown.bound : Size::unknown(which));
    }
    result = result + product;
  }
  return result;
}

void SizeTable::forget(size_t depth) {
  for (; made.size() > depth; made.pop_back())
    if (auto *size = std::get_if<Size>(&made.back()))
      values.erase(*size);
    else
      calls.erase(std::get<Call>(made.back()));
}

Value SizeTable::indexOf(OpBuilder &builder, Location location, const Size &size) {
  if (std::optional<uint32_t> unknown = size.asUnknown())
    return unknowns[*unknown].value;
  if (auto found = values.find(size); found != values.end())
    return found->second;
  ElementBuilder make(builder, location);
  Value sum;
  for (const Size::Term &term : size.parts()) {
    Value product;
    for (uint32_t unknown : term.unknowns)
      product = product ? make.mul(product, unknowns[unknown].value) : unknowns[unknown].value;
    if (term.factor != 1)
      product = make.mul(product, make.index(term.factor));
    sum = sum ? make.add(sum, product) : product;
  }
  if (!sum)
    sum = make.index(size.offset());
  else if (size.offset() != 0)
    sum = make.add(sum, make.index(size.offset()));
  values.emplace(size, sum);
  made.emplace_back(size);
  return sum;
}

bool SizeTable::isNonNegative(const Size &size) const {
  if (size.offset() < 0)
    return false;
  return llvm::all_of(size.parts(), [&](const Size::Term &term) {
    return term.factor >= 0 && llvm::none_of(term.unknowns, [&](uint32_t unknown) {
             return unknowns[unknown].isNegativePossible;
           });
  });
}

bool SizeTable::isOneBeside(const Size &size, const Size &other) const {
  std::optional<uint32_t> unknown = size.asUnknown();
  std::optional<Size> most = bound(other);
  return unknown && most && unknowns[*unknown].emptyWith &&
         most->dividedBy(*unknowns[*unknown].emptyWith);
}

std::optional<int64_t> SizeTable::fold(Operation operation, ArrayRef<int64_t> operands) {
  const int64_t a = operands[0], b = operands.size() > 1 ? operands[1] : 0;
  switch (operation) {
  case Operation::Quotient:
    return b == 0 ? 0 : b == -1 ? static_cast<int64_t>(0 - static_cast<uint64_t>(a)) : a / b;
  case Operation::Remainder:
    return b == 0 || b == -1 ? 0 : a % b;
  case Operation::Max:
    return std::max(a, b);
  case Operation::Min:
    return std::min(a, b);
  case Operation::Less:
    return a < b;
  case Operation::Equal:
    return a == b;
  case Operation::And:
    return a != 0 && b != 0;
  case Operation::Or:
    return a != 0 || b != 0;
  case Operation::Not:
    return a == 0;
  case Operation::Choice:
    return a != 0 ? b : operands[2];
  }
  return std::nullopt;
}

std::optional<Size> SizeTable::simplify(Operation operation, ArrayRef<Size> operands) const {
  if (llvm::all_of(operands, [](const Size &size) { return size.isKnown(); }))
    return Size(*fold(
        operation, llvm::map_to_vector(operands, [](const Size &size) { return size.value(); })));
  const Size &a = operands[0];
  switch (operation) {
  case Operation::Quotient:
    return a.dividedBy(operands[1]);
  case Operation::Remainder:
    if (a.dividedBy(operands[1]))
      return Size(0);
    return std::nullopt;
  case Operation::Max:
  case Operation::Min: {
    const bool isMax = operation == Operation::Max;
    if (isNonNegative(a - operands[1]))
      return isMax ? a : operands[1];
    if (isNonNegative(operands[1] - a))
      return isMax ? operands[1] : a;
    return std::nullopt;
  }
  case Operation::Less:
    if (isPositive(operands[1] - a))
      return Size(1);
    if (isNonNegative(a - operands[1]))
      return Size(0);
    return std::nullopt;
  case Operation::Equal:
    if (a == operands[1])
      return Size(1);
    if (isPositive(a - operands[1]) || isPositive(operands[1] - a))
      return Size(0);
    return std::nullopt;
  case Operation::And:
  case Operation::Or:
    for (auto [one, other] : {std::pair(a, operands[1]), std::pair(operands[1], a)})
      if (one.isKnown())
        return one.is(0) == (operation == Operation::And) ? Size(operation == Operation::Or)
                                                          : other;
    return std::nullopt;
  case Operation::Not:
    return std::nullopt;
  case Operation::Choice:
    if (a.isKnown())
      return a.is(0) ? operands[2] : operands[1];
    if (operands[1] == operands[2])
      return operands[1];
    return std::nullopt;
  }
  return std::nullopt;
}

/// Of a result that follows from data.
std::optional<Size> SizeTable::boundOf(Operation operation, ArrayRef<Size> operands) const {
  switch (operation) {
  case Operation::Min:
    for (const Size &operand : operands)
      if (std::optional<Size> most = bound(operand))
        return most;
    return std::nullopt;
  case Operation::Max:
  case Operation::Choice: {
    std::optional<Size> a = bound(operands[operands.size() - 2]), b = bound(operands.back());
    if (!a || !b)
      return std::nullopt;
    if (isNonNegative(*a - *b))
      return a;
    if (isNonNegative(*b - *a))
      return b;
    return isNonNegative(*a) && isNonNegative(*b) ? std::optional(*a + *b) : std::nullopt;
  }
  case Operation::Quotient:
    return isNonNegative(operands[0]) && isPositive(operands[1]) ? bound(operands[0])
                                                                 : std::nullopt;
  case Operation::Remainder:
    return isNonNegative(operands[0]) ? bound(operands[1]) : std::nullopt;
  default:
    return Size(1);
  }
}

Size SizeTable::compute(OpBuilder &builder, Location location, Operation operation,
                        ArrayRef<Size> operands) {
  if (std::optional<Size> known = simplify(operation, operands))
    return *known;
  Call call(operation, operands.vec());
  if (auto found = calls.find(call); found != calls.end())
    return found->second;
  ElementBuilder make(builder, location);
  SmallVector<Value> values;
  for (const Size &operand : operands)
    values.push_back(indexOf(builder, location, operand));
  Value zero = make.index(0), one = make.index(1);
  auto truth = [&](Value value) {
    return make.make<arith::CmpIOp>(arith::CmpIPredicate::ne, value, zero);
  };
  auto number = [&](Value truth) { return make.select(truth, one, zero); };
  bool isNegativePossible = false;
  Value result;
  switch (operation) {
  case Operation::Quotient:
    result = make.div(values[0], values[1]);
    isNegativePossible = !isNonNegative(operands[0]) || !isNonNegative(operands[1]);
    break;
  case Operation::Remainder:
    result = make.sub(values[0], make.mul(make.div(values[0], values[1]), values[1]));
    isNegativePossible = !isNonNegative(operands[0]);
    break;
  case Operation::Max:
    result = make.max(values[0], values[1]);
    isNegativePossible = !isNonNegative(operands[0]) && !isNonNegative(operands[1]);
    break;
  case Operation::Min:
    result = make.min(values[0], values[1]);
    isNegativePossible = !isNonNegative(operands[0]) || !isNonNegative(operands[1]);
    break;
  case Operation::Less:
    result = number(make.less(values[0], values[1]));
    break;
  case Operation::Equal:
    result = number(make.equal(values[0], values[1]));
    break;
  case Operation::And:
    result = number(make.both(truth(values[0]), truth(values[1])));
    break;
  case Operation::Or:
    result = number(make.either(truth(values[0]), truth(values[1])));
    break;
  case Operation::Not:
    result = make.select(truth(values[0]), zero, one);
    break;
  case Operation::Choice:
    result = make.select(truth(values[0]), values[1], values[2]);
    isNegativePossible = !isNonNegative(operands[1]) || !isNonNegative(operands[2]);
    break;
  }
  const bool isOfData = llvm::any_of(operands, [&](const Size &operand) {
    const std::optional<Size> most = bound(operand);
    return !most || *most != operand;
  });
  Size size = isOfData ? addOfData(result, isNegativePossible, boundOf(operation, operands))
                       : add(result, isNegativePossible);
  if (operation == Operation::Min && !isNegativePossible)
    for (auto [one, other] :
         {std::pair(operands[0], operands[1]), std::pair(operands[1], operands[0])})
      if (one.is(1))
        unknowns.back().emptyWith = other;
  calls.emplace(call, size);
  made.emplace_back(std::move(call));
  return size;
}
