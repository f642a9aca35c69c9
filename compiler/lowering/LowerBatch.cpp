// Implements moec-lower-batch.

#include "compiler/lowering/Passes.h"
#include "dialects/lm/LmDialect.h"
#include "runtime/core/Step.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cstddef>

namespace moec {
#define GEN_PASS_DEF_LOWERBATCH
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

struct LowerBatch final : moec::impl::LowerBatchBase<LowerBatch> {
  void runOnOperation() override {
    pointer = LLVM::LLVMPointerType::get(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && function.getNumArguments() > 0 &&
          isa<lm::BatchType>(function.getArgument(0).getType()))
        lower(function);
    for (Operation &op : llvm::make_early_inc_range(*getOperation().getBody()))
      if (isa<lm::WeightOp, lm::CacheOp>(op))
        op.erase();
    if (auto step = getOperation().lookupSymbol<func::FuncOp>("step"))
      step.setName("moec_program_step");
  }

private:
  void lower(func::FuncOp function) {
    function.walk([&](Operation *op) {
      OpBuilder builder(op);
      TypeSwitch<Operation *>(op)
          .Case([&](lm::TokenCountOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, tokens)));
          })
          .Case([&](lm::OutputCountOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, outputs)));
          })
          .Case([&](lm::QueryTileCountOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, query_tiles)));
          })
          .Case([&](lm::PartNumberOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, part)));
          })
          .Case([&](lm::PartLayerOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, layer)));
          })
          .Case([&](lm::PartRowsOp op) {
            const uint64_t place = offsetof(moec_step_arguments, part_rows) +
                                   op.getNumber() * sizeof(moec_step_arguments::part_rows[0]);
            replace(op, buffer(builder, op, place, cast<MemRefType>(op.getRows().getType()),
                               {field(builder, op, offsetof(moec_step_arguments, tokens),
                                      builder.getI64Type())}));
          })
          .Case([&](lm::TokenIdsOp op) {
            replace(op, ids(builder, op, offsetof(moec_step_arguments, token_ids),
                            offsetof(moec_step_arguments, tokens)));
          })
          .Case([&](lm::PositionsOp op) {
            replace(op, ids(builder, op, offsetof(moec_step_arguments, positions),
                            offsetof(moec_step_arguments, tokens)));
          })
          .Case([&](lm::OutputRowsOp op) {
            replace(op, ids(builder, op, offsetof(moec_step_arguments, output_rows),
                            offsetof(moec_step_arguments, outputs)));
          })
          .Case([&](lm::LogitsOp op) {
            auto type = cast<MemRefType>(op.getBuffer().getType());
            replace(op, buffer(builder, op, offsetof(moec_step_arguments, logits), type,
                               {field(builder, op, offsetof(moec_step_arguments, outputs),
                                      builder.getI64Type())}));
          })
          .Case([&](lm::ArenaOp op) {
            // Its extent is not known to the step, which never asks for it.
            auto type = cast<MemRefType>(op.getBuffer().getType());
            Value extent = LLVM::ConstantOp::create(builder, op.getLoc(), builder.getI64Type(),
                                                    builder.getI64IntegerAttr(INT64_MAX));
            replace(op, buffer(builder, op, offsetof(moec_step_arguments, arena), type, {extent}));
          })
          .Case([&](lm::LoadWeightOp op) {
            if (op.use_empty())
              op.erase();
          });
    });
    // The argument itself.
    Value batch = function.getArgument(0);
    SmallVector<UnrealizedConversionCastOp> casts;
    for (Operation *user : batch.getUsers())
      if (auto cast = dyn_cast<UnrealizedConversionCastOp>(user))
        casts.push_back(cast);
    batch.setType(pointer);
    for (UnrealizedConversionCastOp cast : casts) {
      cast.replaceAllUsesWith(ValueRange{batch});
      cast.erase();
    }
    function.setFunctionType(FunctionType::get(&getContext(), function.getBody().getArgumentTypes(),
                                               function.getResultTypes()));
  }

  template <typename Op> static void replace(Op op, Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op.erase();
  }

  Value field(OpBuilder &builder, Operation *op, uint64_t offset, Type type) {
    Value batch =
        UnrealizedConversionCastOp::create(builder, op->getLoc(), pointer, op->getOperand(0))
            .getResult(0);
    Value at = LLVM::GEPOp::create(builder, op->getLoc(), pointer, builder.getI8Type(), batch,
                                   ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
    return LLVM::LoadOp::create(builder, op->getLoc(), type, at);
  }

  Value count(OpBuilder &builder, Operation *op, uint64_t offset) {
    Value value = field(builder, op, offset, builder.getI64Type());
    return arith::IndexCastOp::create(builder, op->getLoc(), builder.getIndexType(), value);
  }

  Value ids(OpBuilder &builder, Operation *op, uint64_t offset, uint64_t extent) {
    auto type = cast<MemRefType>(op->getResult(0).getType());
    return buffer(builder, op, offset, type, {field(builder, op, extent, builder.getI64Type())});
  }

  /// A memref of the field's memory, by its descriptor: rows are adjacent, the extents that are not
  /// fixed are given.
  Value buffer(OpBuilder &builder, Operation *op, uint64_t offset, MemRefType type,
               ArrayRef<Value> extents) {
    Location loc = op->getLoc();
    int64_t rank = type.getRank();
    Type i64 = builder.getI64Type(), array = LLVM::LLVMArrayType::get(i64, rank);
    Type descriptor =
        LLVM::LLVMStructType::getLiteral(&getContext(), {pointer, pointer, i64, array, array});
    Value base = field(builder, op, offset, pointer);
    auto constant = [&](int64_t value) -> Value {
      return LLVM::ConstantOp::create(builder, loc, i64, builder.getI64IntegerAttr(value));
    };
    Value view = LLVM::UndefOp::create(builder, loc, descriptor);
    auto set = [&](Value value, ArrayRef<int64_t> at) {
      view = LLVM::InsertValueOp::create(builder, loc, view, value, at);
    };
    set(base, {0});
    set(base, {1});
    set(constant(0), {2});
    int64_t stride = 1;
    for (int64_t i = rank; i-- > 0;) {
      bool isFixed = !type.isDynamicDim(i);
      set(isFixed ? constant(type.getDimSize(i)) : extents.front(), {3, i});
      set(constant(stride), {4, i});
      stride *= isFixed ? type.getDimSize(i) : 1;
    }
    return UnrealizedConversionCastOp::create(builder, loc, type, view).getResult(0);
  }

  Type pointer;
};

} // namespace
