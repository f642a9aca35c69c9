// What our destination-style ops have in common: their memory effects, their bufferization, and
// checks of their shapes.

#ifndef MOEC_DIALECTS_DESTINATIONSTYLE_H
#define MOEC_DIALECTS_DESTINATIONSTYLE_H

#include "dialects/RowWise.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/InliningUtils.h"

namespace moec {

using EffectInstances =
    llvm::SmallVectorImpl<mlir::SideEffects::EffectInstance<mlir::MemoryEffects::Effect>>;

/// Memref inputs are read and memref destinations written; destinations are read as well where
/// `readsDestinations`. Tensors and weights have no effect.
void addDestinationStyleEffects(mlir::DestinationStyleOpInterface op, bool readsDestinations,
                                EffectInstances &effects);

/// Fails with an error on `op` unless the two extents are equal; an unknown extent equals any. The
/// words say what the extents are of: "the input's columns".
mlir::LogicalResult verifyExtents(mlir::Operation *op, llvm::StringRef what, int64_t extent,
                                  llvm::StringRef otherWhat, int64_t otherExtent);

/// Bytes after the integers of a block of quantised activations: their scale, f32, and sum, i32.
inline constexpr int64_t kBlockTailBytes = 8;

/// Elements of such a block are a multiple of what products take at a time.
inline constexpr int64_t kBlockStep = 32;

/// Columns, of i8, that `columns` activations have once they are quantised in blocks of `block`;
/// see lm.quantize.
constexpr int64_t quantizedColumns(int64_t columns, int64_t block) {
  return (columns + block - 1) / block * (block + kBlockTailBytes);
}

/// Fails with an error on `op` unless `input`, rows or quantised rows, can be multiplied with a
/// weight of `depth` columns.
mlir::LogicalResult verifyProductInput(mlir::Operation *op, llvm::StringRef what, int64_t depth,
                                       llvm::StringRef inputWhat, mlir::Value input);

/// Whether elements of a tensor or memref are adjacent and, beyond rank 1, columns fixed in number.
bool hasPlainRows(mlir::ShapedType type);

/// Extent `dimension` of a shaped value.
int64_t extentOf(mlir::Value value, unsigned dimension);

/// Bufferizes a destination-style op in place: the same op on memrefs. Destinations are read only
/// if `Op::readsDestinations()` says so, so that an uninitialised one needs no copy.
template <typename Op>
struct DestinationBufferization
    : mlir::bufferization::DstBufferizableOpInterfaceExternalModel<DestinationBufferization<Op>,
                                                                   Op> {
  bool bufferizesToMemoryRead(mlir::Operation *op, mlir::OpOperand &operand,
                              const mlir::bufferization::AnalysisState &) const {
    auto concrete = mlir::cast<Op>(op);
    return !concrete.isDpsInit(&operand) || concrete.readsDestinations();
  }

  /// Whether the op may write over one of its inputs: `Op::isElementwise()`, where it is declared.
  bool bufferizesToElementwiseAccess(mlir::Operation *, const mlir::bufferization::AnalysisState &,
                                     mlir::ArrayRef<mlir::OpOperand *>) const {
    if constexpr (requires { Op::isElementwise(); })
      return Op::isElementwise();
    return false;
  }

  mlir::LogicalResult bufferize(mlir::Operation *op, mlir::RewriterBase &rewriter,
                                const mlir::bufferization::BufferizationOptions &options,
                                mlir::bufferization::BufferizationState &state) const {
    auto destination = mlir::cast<mlir::DestinationStyleOpInterface>(op);
    if (destination.hasPureBufferSemantics())
      return mlir::success();
    mlir::OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(op);
    mlir::IRMapping buffers;
    for (mlir::Value operand : op->getOperands()) {
      if (!mlir::isa<mlir::TensorType>(operand.getType()))
        continue;
      mlir::FailureOr<mlir::Value> buffer =
          mlir::bufferization::getBuffer(rewriter, operand, options, state);
      if (mlir::failed(buffer))
        return mlir::failure();
      buffers.map(operand, *buffer);
    }
    mlir::SmallVector<mlir::Value> operands, inits;
    for (mlir::Value operand : op->getOperands())
      operands.push_back(buffers.lookupOrDefault(operand));
    for (mlir::Value init : destination.getDpsInits())
      if (mlir::isa<mlir::TensorType>(init.getType()))
        inits.push_back(buffers.lookup(init));
    mlir::OperationState newState(op->getLoc(), op->getName(), operands, mlir::TypeRange(),
                                  op->getAttrs());
    newState.propertiesAttr = op->getPropertiesAsAttribute();
    rewriter.create(newState);
    mlir::bufferization::replaceOpWithBufferizedValues(rewriter, op, inits);
    return mlir::success();
  }
};

/// Our ops may be inlined anywhere.
struct InlineEverything final : mlir::DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;

  bool isLegalToInline(mlir::Operation *, mlir::Region *, bool, mlir::IRMapping &) const override {
    return true;
  }
};

} // namespace moec

#endif // MOEC_DIALECTS_DESTINATIONSTYLE_H
