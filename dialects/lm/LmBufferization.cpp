// Bufferization of the ops of the lm dialect.

#include "dialects/lm/LmDialect.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace moec;
using namespace moec::lm;

namespace {

/// Ops that read tensors and have no results.
template <typename Op>
struct SinkBufferization : BufferizableOpInterface::ExternalModel<SinkBufferization<Op>, Op> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &, const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &, const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *, OpOperand &, const AnalysisState &) const {
    return {};
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options, BufferizationState &state) const {
    for (OpOperand &operand : op->getOpOperands()) {
      if (!isa<TensorType>(operand.get().getType()))
        continue;
      FailureOr<Value> buffer = getBuffer(rewriter, operand.get(), options, state);
      if (failed(buffer))
        return failure();
      rewriter.modifyOpInPlace(op, [&] { operand.set(*buffer); });
    }
    return success();
  }
};

/// Ops that view the caller's memory, which nobody may write.
template <typename Op>
struct ViewBufferization : BufferizableOpInterface::ExternalModel<ViewBufferization<Op>, Op> {
  bool isWritable(Operation *, Value, const AnalysisState &) const { return false; }
  bool bufferizesToAllocation(Operation *, Value) const { return false; }

  FailureOr<BufferLikeType> getBufferType(Operation *, Value value, const BufferizationOptions &,
                                          const BufferizationState &, SmallVector<Value> &) const {
    auto type = cast<RankedTensorType>(value.getType());
    return cast<BufferLikeType>(MemRefType::get(type.getShape(), type.getElementType()));
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &,
                          BufferizationState &) const {
    auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
    if (!type)
      return success();
    Operation *view = rewriter.clone(*op);
    view->getResult(0).setType(MemRefType::get(type.getShape(), type.getElementType()));
    replaceOpWithBufferizedValues(rewriter, op, view->getResults());
    return success();
  }
};

template <typename... Ops> void attachDestination(MLIRContext *context) {
  (Ops::template attachInterface<DestinationBufferization<Ops>>(*context), ...);
}

} // namespace

void moec::lm::registerBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, LmDialect *) {
    attachDestination<EmbeddingOp, RmsNormOp, LayerNormOp, ChooseKeysOp, LinearOp, ClampOp,
                      RopeTableOp, RopeOp, TemperatureOp, SliceHeadsOp, JoinHeadsOp, HeadLinearOp,
                      AttentionOp, ScaleRowsOp, AddOp, RoundOp, QuantizeOp, SelectRowsOp,
                      RunPartOp>(context);
    CacheAppendOp::attachInterface<SinkBufferization<CacheAppendOp>>(*context);
    RecordLargestOp::attachInterface<SinkBufferization<RecordLargestOp>>(*context);
    RecordRoutingOp::attachInterface<SinkBufferization<RecordRoutingOp>>(*context);
    TokenIdsOp::attachInterface<ViewBufferization<TokenIdsOp>>(*context);
    PositionsOp::attachInterface<ViewBufferization<PositionsOp>>(*context);
    OutputRowsOp::attachInterface<ViewBufferization<OutputRowsOp>>(*context);
    PartRowsOp::attachInterface<ViewBufferization<PartRowsOp>>(*context);
    GraphInputOp::attachInterface<ViewBufferization<GraphInputOp>>(*context);
    LoadTensorOp::attachInterface<ViewBufferization<LoadTensorOp>>(*context);
  });
}
