// Implements lm-record-largest.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "runtime/core/Step.h"

namespace moec {
#define GEN_PASS_DEF_RECORDLARGEST
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct RecordLargest final : moec::impl::RecordLargestBase<RecordLargest> {
  void runOnOperation() override {
    getOperation().walk([&](bufferization::MaterializeInDestinationOp write) {
      auto logits = write.getDest().getDefiningOp<lm::LogitsOp>();
      if (!logits)
        return;
      OpBuilder builder(write);
      lm::RecordLargestOp::create(builder, write.getLoc(), MOEC_LARGEST_COUNT, MOEC_LARGEST_PIECE,
                                  logits.getBatch(), write.getSource());
    });
  }
};

} // namespace
