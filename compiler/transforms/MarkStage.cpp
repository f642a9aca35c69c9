// Implements moec-mark-stage.

#include "compiler/transforms/Passes.h"

namespace moec {
#define GEN_PASS_DEF_MARKSTAGE
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;

namespace {
struct MarkStage final : moec::impl::MarkStageBase<MarkStage> {
  using MarkStageBase::MarkStageBase;

  void runOnOperation() override {
    Builder builder(&getContext());
    getOperation()->setAttr("moec.stage", builder.getStringAttr(stage));
    getOperation()->setAttr(
        "moec.choices",
        builder.getDictionaryAttr(
            {builder.getNamedAttr("activations", builder.getStringAttr(activations)),
             builder.getNamedAttr("cache", builder.getStringAttr(cache)),
             builder.getNamedAttr("cpu", builder.getStringAttr(cpu)),
             builder.getNamedAttr("mapped", builder.getBoolAttr(mapped))}));
  }
};
} // namespace
