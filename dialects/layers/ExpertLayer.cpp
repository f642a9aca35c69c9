// Finds or makes the weights of experts, and builds the ops between a choice and the layer's
// output.

#include "dialects/layers/ExpertLayer.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;
using namespace moec;

/// Rows of one expert that a piece of work takes at most.
static constexpr int64_t kTileRows = 64;

bool moec::isExpertElement(Type element) {
  return element.isF32() || element.isF16() || element.isBF16();
}

/// Rows that an expert has in a tensor that holds those of `experts`; stored ones, and so columns
/// of the weight where it is transposed.
static int64_t storedRows(const ExpertWeight &weight, lm::TensorOp tensor, int64_t experts) {
  if (weight.isTransposed)
    return weight.columns;
  const int64_t elements = cast<RankedTensorType>(tensor.getType()).getNumElements();
  return elements / (experts * weight.columns);
}

/// The pieces of an expert weight: one, or one for each expert.
static ArrayAttr piecesOf(Builder &builder, int64_t experts, const ExpertWeight &weight) {
  const bool isStacked = weight.tensors.size() == 1;
  assert((isStacked || static_cast<int64_t>(weight.tensors.size()) == experts) &&
         "one tensor for all, or one for each");
  SmallVector<Attribute> pieces;
  for (lm::TensorOp tensor : weight.tensors) {
    const Type element = cast<RankedTensorType>(tensor.getType()).getElementType();
    assert(isExpertElement(element) && "weights are stored as floats");
    const int64_t stored = storedRows(weight, tensor, isStacked ? experts : 1);
    assert((weight.isTransposed || weight.firstRow + (weight.rows - 1) * weight.rowStep < stored) &&
           "the tensor has the rows");
    const auto first = static_cast<int64_t>(pieces.size());
    pieces.push_back(lm::PieceAttr::get(
        builder.getContext(), tensor.getSource(), weight.rows, weight.firstRow, weight.rowStep,
        stored, weight.isTransposed, /*side_by_side=*/false, first, isStacked ? 0 : 1, element,
        /*scales=*/nullptr));
  }
  return builder.getArrayAttr(pieces);
}

Value moec::loadExpertWeight(OpBuilder &builder, Location loc, SymbolTable &symbols,
                             int64_t experts, const ExpertWeight &weight) {
  lm::TensorOp first = weight.tensors.front();
  const Type element = cast<RankedTensorType>(first.getType()).getElementType();
  auto type =
      lm::WeightType::get(builder.getContext(), {experts, weight.rows, weight.columns}, element);
  ArrayAttr pieces = piecesOf(builder, experts, weight);
  const std::string name = (first.getSymName() + "_experts_" + Twine(weight.firstRow) +
                            (weight.isTransposed ? "_columns" : "_rows"))
                               .str();
  auto known = symbols.lookup<lm::WeightOp>(name);
  if (!known || known.getType() != type || known.getPieces() != pieces) {
    OpBuilder beside(first);
    known = lm::WeightOp::create(beside, first.getLoc(), beside.getStringAttr(name),
                                 TypeAttr::get(type), /*heads=*/nullptr,
                                 weight.areBiases ? beside.getUnitAttr() : UnitAttr(),
                                 beside.getDenseI64ArrayAttr({}), pieces,
                                 /*quantized=*/nullptr, /*packed=*/nullptr);
    symbols.insert(known);
  }
  return lm::LoadWeightOp::create(builder, loc, type, known.getSymName(), /*layer=*/Value());
}

namespace {
/// Builds the ops of one layer, in their order.
class ExpertLayerBuilder {
public:
  ExpertLayerBuilder(OpBuilder &builder, Location loc, const ExpertOperands &operands)
      : builder(builder), loc(loc), operands(operands) {}

  Value build() {
    dispatch();
    Value inner = operands.gate
                      ? gated()
                      : product(operands.tokens, operands.up, operands.upBias, operands.activation);
    Value results = product(inner, operands.down, operands.downBias);
    const bool weighsInput = operands.weighsInput;
    Value out = empty(tokens, extentOf(operands.down, 1), builder.getF32Type());
    return moe::CombineOp::create(builder, loc, out.getType(), /*accumulate=*/false,
                                  weighsInput
                                      ? builder.getI64IntegerAttr(extentOf(operands.experts, 1))
                                      : IntegerAttr(),
                                  results, inverse, weighsInput ? Value() : operands.weights, out)
        .getResult(0);
  }

private:
  Value constant(int64_t value) { return arith::ConstantIndexOp::create(builder, loc, value); }

  Value empty(Value rows, int64_t columns, Type element) {
    return tensor::EmptyOp::create(
        builder, loc,
        ArrayRef<OpFoldResult>{getAsOpFoldResult(rows), builder.getIndexAttr(columns)}, element);
  }

  /// T*K picks, sorted by expert, in at most E + T*K / tile pieces.
  void dispatch() {
    Type id = builder.getI32Type();
    tokens = getValueOrCreateConstantIndexOp(
        builder, loc, tensor::getMixedSize(builder, loc, operands.tokens, 0));
    const int64_t experts = extentOf(operands.up, 0);
    count =
        builder.createOrFold<arith::MulIOp>(loc, tokens, constant(extentOf(operands.experts, 1)));
    Value pieces = builder.createOrFold<arith::DivUIOp>(loc, count, constant(kTileRows));
    Value tileCount = builder.createOrFold<arith::AddIOp>(loc, pieces, constant(1 + experts));
    auto picksOut = [&]() -> Value {
      return tensor::EmptyOp::create(builder, loc, getAsOpFoldResult(ValueRange{count}), id);
    };
    Value rowsOut = picksOut(), inverseOut = picksOut();
    Value offsetsOut = tensor::EmptyOp::create(builder, loc, {experts + 1}, id);
    Value tilesOut = empty(tileCount, 3, id);
    auto plan = moe::DispatchOp::create(builder, loc,
                                        TypeRange{rowsOut.getType(), inverseOut.getType(),
                                                  offsetsOut.getType(), tilesOut.getType()},
                                        kTileRows, operands.experts, rowsOut, inverseOut,
                                        offsetsOut, tilesOut);
    rows = plan.getResult(0);
    inverse = plan.getResult(1);
    tiles = plan.getResult(3);
  }

  /// Of the tokens, which are gathered and may be weighed, or of rows that are sorted already.
  Value product(Value input, Value weight, Value bias, moe::ActivationAttr activation = {}) {
    const bool gathers = input == operands.tokens, weighs = gathers && operands.weighsInput;
    Value out = empty(count, extentOf(weight, 1), builder.getF32Type());
    return moe::GroupedMatmulOp::create(builder, loc, out.getType(), activation, input, weight,
                                        tiles, gathers ? rows : Value(),
                                        weighs ? operands.experts : Value(),
                                        weighs ? operands.weights : Value(), bias, out)
        .getResult(0);
  }

  Value gated() {
    Value gate = product(operands.tokens, operands.gate, operands.gateBias),
          up = product(operands.tokens, operands.up, operands.upBias);
    Value out = empty(count, extentOf(operands.up, 1), builder.getF32Type());
    return moe::GatedActivationOp::create(builder, loc, out.getType(), operands.activation, gate,
                                          up, out)
        .getResult(0);
  }

  OpBuilder &builder;
  Location loc;
  const ExpertOperands &operands;
  Value tokens, count;        ///< T and T*K
  Value rows, inverse, tiles; ///< what moe.dispatch gives
};
} // namespace

Value moec::buildExpertLayer(OpBuilder &builder, Location loc, const ExpertOperands &operands) {
  return ExpertLayerBuilder(builder, loc, operands).build();
}
