// Implements lm-note-failures.

#include "compiler/transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "llvm/ADT/MapVector.h"

namespace moec {
#define GEN_PASS_DEF_NOTEFAILURES
#include "compiler/transforms/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {
struct NoteFailures final : moec::impl::NoteFailuresBase<NoteFailures> {
  void runOnOperation() override {
    auto graph = getOperation().lookupSymbol<func::FuncOp>(kGraphName);
    if (!graph)
      return;
    SmallVector<cf::AssertOp> checks;
    graph.walk([&](cf::AssertOp check) { checks.push_back(check); });
    if (checks.empty())
      return;
    OpBuilder builder = OpBuilder::atBlockBegin(&graph.getBody().front());
    auto type = MemRefType::get({}, builder.getI64Type());
    Value failure = lm::GraphOutputOp::create(builder, graph.getLoc(), type, graph.getArgument(0),
                                              builder.getStringAttr(kFailureName), ValueRange());
    llvm::MapVector<Attribute, int64_t> messages;
    for (cf::AssertOp check : checks) {
      if (check->getParentOp() != graph) {
        check.emitError("is checked in a branch or loop that follows from data, where a graph "
                        "cannot stop");
        return signalPassFailure();
      }
      const int64_t number =
          messages.insert({check.getMsgAttr(), static_cast<int64_t>(messages.size()) + 1})
              .first->second;
      note(check, failure, number);
    }
    SmallVector<Attribute> words;
    for (auto &[message, number] : messages)
      words.push_back(message);
    auto known = getOperation()->getAttrOfType<DictionaryAttr>(kGraphAttr);
    NamedAttrList attributes(known ? known : builder.getDictionaryAttr({}));
    attributes.set(kFailuresName, builder.getArrayAttr(words));
    getOperation()->setAttr(kGraphAttr, attributes.getDictionary(&getContext()));
  }

private:
  /// Tells the number of what is wrong, where it is.
  static void note(cf::AssertOp check, Value failure, int64_t number) {
    OpBuilder builder(check);
    Location loc = check.getLoc();
    Value isTrue = arith::ConstantIntOp::create(builder, loc, 1, 1);
    Value isWrong = arith::XOrIOp::create(builder, loc, check.getArg(), isTrue);
    auto branch = scf::IfOp::create(builder, loc, isWrong);
    OpBuilder inside = branch.getThenBodyBuilder();
    Value told = arith::ConstantIntOp::create(inside, loc, number, 64);
    memref::StoreOp::create(inside, loc, told, failure);
    check.erase();
  }
};
} // namespace
