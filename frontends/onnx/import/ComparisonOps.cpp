// Truth values of elements, choices by them, and other element types.

#include "frontends/onnx/import/NodeImport.h"

#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace moec;
using SizeOp = SizeTable::Operation;

namespace {
enum class Relation { Equal, Less, LessOrEqual, Greater, GreaterOrEqual };
} // namespace

/// As the size 0 or 1.
static Size compare(TensorBuilder &build, Relation relation, const Size &a, const Size &b) {
  switch (relation) {
  case Relation::Equal:
    return build.compute(SizeOp::Equal, {a, b});
  case Relation::Less:
    return build.compute(SizeOp::Less, {a, b});
  case Relation::Greater:
    return build.compute(SizeOp::Less, {b, a});
  case Relation::LessOrEqual:
    return build.compute(SizeOp::Not, build.compute(SizeOp::Less, {b, a}));
  case Relation::GreaterOrEqual:
    return build.compute(SizeOp::Not, build.compute(SizeOp::Less, {a, b}));
  }
  return Size(0);
}

static Value compare(ElementBuilder &make, Relation relation, Value a, Value b) {
  switch (relation) {
  case Relation::Equal:
    return make.equal(a, b);
  case Relation::Less:
    return make.less(a, b);
  case Relation::LessOrEqual:
    return make.lessOrEqual(a, b);
  case Relation::Greater:
    return make.less(b, a);
  case Relation::GreaterOrEqual:
    return make.lessOrEqual(b, a);
  }
  return {};
}

template <Relation relation> static void importRelation(NodeImport &node) {
  const GraphValue a = node.input(0), b = node.input(1);
  node.requireSameElement({a, b});
  node.broadcastShape({a, b});
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  if (a.elements && b.elements && !a.elements->empty() &&
      (a.elements->size() == b.elements->size() || b.elements->size() == 1)) {
    SmallVector<Size, 1> results;
    for (auto [place, element] : llvm::enumerate(*a.elements))
      results.push_back(
          compare(build, relation, element, (*b.elements)[b.elements->size() == 1 ? 0 : place]));
    return node.result(
        build.ofElements(ElementType::Bool, std::move(results), a.rank() == 0 && b.rank() == 0));
  }
  node.result(build.map(ElementType::Bool, {a, b}, [](ElementBuilder &make, ValueRange x) {
    return compare(make, relation, x[0], x[1]);
  }));
}

static void importWhere(NodeImport &node) {
  const GraphValue condition = node.input(0), yes = node.input(1), no = node.input(2);
  if (!isBool(condition.element))
    return node.malformed("its condition is of {}, wanted BOOL",
                          elementTypeName(condition.element));
  node.requireSameElement({yes, no});
  node.broadcastShape({condition, yes, no});
  if (node.failed())
    return;
  TensorBuilder &build = node.build();
  if (condition.elements && yes.elements && no.elements && isInteger(yes.element)) {
    size_t count = 1;
    bool suits = true;
    for (const GraphValue *each : {&condition, &yes, &no})
      count = std::max(count, each->elements->size());
    for (const GraphValue *each : {&condition, &yes, &no})
      suits &= each->elements->size() == count || each->elements->size() == 1;
    if (suits) {
      SmallVector<Size, 1> results;
      auto at = [&](const GraphValue &value, size_t place) {
        return (*value.elements)[value.elements->size() == 1 ? 0 : place];
      };
      for (size_t place = 0; place < count; ++place)
        results.push_back(
            build.compute(SizeOp::Choice, {at(condition, place), at(yes, place), at(no, place)}));
      return node.result(
          build.ofElements(yes.element, std::move(results),
                           condition.rank() == 0 && yes.rank() == 0 && no.rank() == 0));
    }
  }
  GraphValue result =
      build.map(yes.element, {condition, yes, no},
                [](ElementBuilder &make, ValueRange x) { return make.select(x[0], x[1], x[2]); });
  node.result(std::move(result));
}

static void importIsNan(NodeImport &node) {
  node.requireFloat(node.input(0), "its input");
  if (!node.failed())
    node.result(
        node.build().map(ElementType::Bool, node.input(0), [](ElementBuilder &make, ValueRange x) {
          return make.make<arith::CmpFOp>(arith::CmpFPredicate::UNO, x[0], x[0]);
        }));
}

static void importIsInf(NodeImport &node) {
  node.requireFloat(node.input(0), "its input");
  if (node.failed())
    return;
  const bool up = node.integer("detect_positive", 1) != 0,
             down = node.integer("detect_negative", 1) != 0;
  node.result(
      node.build().map(ElementType::Bool, node.input(0), [&](ElementBuilder &make, ValueRange x) {
        const double infinity = std::numeric_limits<double>::infinity();
        Value result = make.integer(make.ops().getI1Type(), 0);
        if (up)
          result = make.either(result, make.equal(x[0], make.number(x[0], infinity)));
        if (down)
          result = make.either(result, make.equal(x[0], make.number(x[0], -infinity)));
        return result;
      }));
}

/// Types whose elements are less than a byte are held in bytes, and must stay in their bounds.
static GraphValue convertTo(TensorBuilder &build, const GraphValue &value, ElementType to) {
  const int64_t bits = elementTypeBits(to);
  if (isFloat(to) || bits >= 8 || isBool(to) || value.element == to)
    return build.convert(value, to);
  return build.map(to, value, [&](ElementBuilder &make, ValueRange x) {
    Value byte = make.convert(x[0], make.ops().getI8Type(), false);
    Value by = make.integer(byte.getType(), 8 - bits);
    Value high = make.make<arith::ShLIOp>(byte, by);
    return isUnsigned(to) ? make.make<arith::ShRUIOp>(high, by)
                          : make.make<arith::ShRSIOp>(high, by);
  });
}

static bool isCastable(NodeImport &node, ElementType type) {
  const bool isNarrowFloat = isFloat(type) && elementTypeBits(type) < 16;
  if (node.build().typeOf(type) && !isNarrowFloat)
    return true;
  node.unsupported("casts from or to {}, which moec does not compute with", elementTypeName(type));
  return false;
}

static void castTo(NodeImport &node, ElementType to) {
  if (isCastable(node, node.input(0).element) && isCastable(node, to))
    node.result(convertTo(node.build(), node.input(0), to));
}

static void importCast(NodeImport &node) {
  const int64_t number = node.integer("to", 0);
  const std::optional<ElementType> to = elementTypeOf(number);
  if (!to)
    return node.malformed("`to` is {}, which is no element type", number);
  castTo(node, *to);
}
static void importCastLike(NodeImport &node) { castTo(node, node.input(1).element); }

llvm::ArrayRef<OpRule> moec::comparisonOps() {
  static const OpRule rules[] = {
      {"", "Equal", {{11, "", 2, 2}}, importRelation<Relation::Equal>},
      {"", "Less", {{9, "", 2, 2}}, importRelation<Relation::Less>},
      {"", "LessOrEqual", {{12, "", 2, 2}}, importRelation<Relation::LessOrEqual>},
      {"", "Greater", {{9, "", 2, 2}}, importRelation<Relation::Greater>},
      {"", "GreaterOrEqual", {{12, "", 2, 2}}, importRelation<Relation::GreaterOrEqual>},
      {"", "Where", {{9, "", 3, 3}}, importWhere},
      {"", "IsNaN", {{9, "", 1, 1}}, importIsNan},
      {"", "IsInf", {{10, "detect_negative:i detect_positive:i", 1, 1}}, importIsInf},
      {"",
       "Cast",
       {{9, "to:i", 1, 1},
        {19, "saturate:i to:i", 1, 1},
        {24, "round_mode:s saturate:i to:i", 1, 1}},
       importCast},
      {"",
       "CastLike",
       {{15, "", 2, 2}, {19, "saturate:i", 2, 2}, {24, "round_mode:s saturate:i", 2, 2}},
       importCastLike},
  };
  return rules;
}
