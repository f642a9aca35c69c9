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
    NamedAttrList choices;
    choices.set("activations", builder.getStringAttr(activations));
    choices.set("cache", builder.getStringAttr(cache));
    const bool isForCpu = gpu.empty() || moec::findHost(getOperation());
    choices.set("cpu", builder.getStringAttr(isForCpu ? StringRef(cpu) : ""));
    choices.set("mapped", builder.getBoolAttr(mapped));
    if (!target.empty())
      choices.set("target", builder.getStringAttr(target));
    if (!gpu.empty())
      choices.set("gpu", builder.getStringAttr(gpu));
    getOperation()->setAttr("moec.choices", choices.getDictionary(&getContext()));
  }
};
} // namespace
