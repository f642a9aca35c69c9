// Implements moec-lower-batch.

#include "compiler/analysis/StepFunction.h"
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
    graph = getOperation()->getAttrOfType<DictionaryAttr>(kGraphAttr);
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && function.getNumArguments() > 0 &&
          isa<lm::BatchType>(function.getArgument(0).getType()))
        lower(function);
    for (Operation &op : llvm::make_early_inc_range(*getOperation().getBody()))
      if (isa<lm::WeightOp, lm::CacheOp, lm::TensorOp>(op))
        op.erase();
    if (func::FuncOp step = findStep(getOperation()))
      step.setName("moec_program_step");
    if (isLost)
      signalPassFailure();
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
          .Case([&](lm::BlockCountOp op) {
            replace(op, count(builder, op, offsetof(moec_step_arguments, block_stride)));
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
          .Case([&](lm::DimensionOp op) {
            Value sizes = graphField(builder, op, offsetof(moec_graph_arguments, dimensions));
            replace(op, toIndex(builder, op,
                                entry(builder, op, sizes, builder.getI64Type(),
                                      numberOf(op, kDimensionsName))));
          })
          .Case([&](lm::GraphInputOp op) {
            Value inputs = graphField(builder, op, offsetof(moec_graph_arguments, inputs));
            replace(op, graphBuffer(builder, op, inputs, numberOf(op, kInputsName)));
          })
          .Case([&](lm::GraphOutputOp op) {
            Value outputs = graphField(builder, op, offsetof(moec_graph_arguments, outputs));
            replace(op, graphBuffer(builder, op, outputs, numberOf(op, kOutputsName)));
          })
          .Case([&](lm::SetOutputSizeOp op) { setOutputSize(builder, op); })
          .Case([&](lm::LoadTensorOp op) {
            auto tensor =
                SymbolTable::lookupNearestSymbolFrom<lm::TensorOp>(op, op.getTensorAttr());
            Value base = field(builder, op, offsetof(moec_step_arguments, weights), pointer);
            replace(op, memoryAt(builder, op, at(builder, op, base, *tensor.getOffset()),
                                 cast<MemRefType>(op.getValue().getType()), {}));
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

  Value at(OpBuilder &builder, Operation *op, Value base, int64_t offset) {
    Value bytes = LLVM::ConstantOp::create(builder, op->getLoc(), builder.getI64Type(),
                                           builder.getI64IntegerAttr(offset));
    return LLVM::GEPOp::create(builder, op->getLoc(), pointer, builder.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }

  /// Entry `number` of an array of words.
  Value entry(OpBuilder &builder, Operation *op, Value array, Type type, int64_t number) {
    return LLVM::LoadOp::create(builder, op->getLoc(), type, at(builder, op, array, number * 8));
  }

  Value field(OpBuilder &builder, Operation *op, uint64_t offset, Type type) {
    Value batch =
        UnrealizedConversionCastOp::create(builder, op->getLoc(), pointer,
                                           op->getParentOfType<func::FuncOp>().getArgument(0))
            .getResult(0);
    Value place = LLVM::GEPOp::create(builder, op->getLoc(), pointer, builder.getI8Type(), batch,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
    return LLVM::LoadOp::create(builder, op->getLoc(), type, place);
  }

  Value graphField(OpBuilder &builder, Operation *op, uint64_t offset) {
    Value arguments = field(builder, op, offsetof(moec_step_arguments, graph), pointer);
    return LLVM::LoadOp::create(builder, op->getLoc(), pointer,
                                at(builder, op, arguments, static_cast<int64_t>(offset)));
  }

  /// The place of a named thing in one of the lists of the module's attribute.
  template <typename Op> int64_t numberOf(Op op, StringRef list) {
    auto entries = graph ? graph.getAs<ArrayAttr>(list) : ArrayAttr();
    if (entries && op.getName() == kFailureName && list == kOutputsName)
      return static_cast<int64_t>(entries.size());
    for (auto [number, entry] :
         llvm::enumerate(entries ? entries.getValue() : ArrayRef<Attribute>()))
      if (auto named = dyn_cast<DictionaryAttr>(entry);
          (named ? named.get("name") : entry) == op.getNameAttr())
        return static_cast<int64_t>(number);
    op.emitOpError() << "names " << op.getNameAttr() << ", which is not among the " << list
                     << " of the module's attribute " << kGraphAttr;
    isLost = true;
    return 0;
  }

  template <typename Op> Value graphBuffer(OpBuilder &builder, Op op, Value array, int64_t number) {
    SmallVector<Value> extents;
    for (Value size : op.getSizes())
      extents.push_back(
          arith::IndexCastOp::create(builder, op.getLoc(), builder.getI64Type(), size));
    return memoryAt(builder, op, entry(builder, op, array, pointer, number),
                    cast<MemRefType>(op.getValue().getType()), extents);
  }

  void setOutputSize(OpBuilder &builder, lm::SetOutputSizeOp op) {
    Value sizes = graphField(builder, op, offsetof(moec_graph_arguments, output_sizes));
    const int64_t number =
        numberOf(op, kOutputsName) * MOEC_MOST_RANK + static_cast<int64_t>(op.getDimension());
    Value size =
        arith::IndexCastOp::create(builder, op.getLoc(), builder.getI64Type(), op.getSize());
    LLVM::StoreOp::create(builder, op.getLoc(), size, at(builder, op, sizes, number * 8));
    op.erase();
  }

  static Value toIndex(OpBuilder &builder, Operation *op, Value value) {
    return arith::IndexCastOp::create(builder, op->getLoc(), builder.getIndexType(), value);
  }

  Value count(OpBuilder &builder, Operation *op, uint64_t offset) {
    return toIndex(builder, op, field(builder, op, offset, builder.getI64Type()));
  }

  Value ids(OpBuilder &builder, Operation *op, uint64_t offset, uint64_t extent) {
    auto type = cast<MemRefType>(op->getResult(0).getType());
    return buffer(builder, op, offset, type, {field(builder, op, extent, builder.getI64Type())});
  }

  /// A memref of the field's memory, by its descriptor: rows are adjacent, the extents that are not
  /// fixed are given.
  Value buffer(OpBuilder &builder, Operation *op, uint64_t offset, MemRefType type,
               ArrayRef<Value> extents) {
    return memoryAt(builder, op, field(builder, op, offset, pointer), type, extents);
  }

  Value memoryAt(OpBuilder &builder, Operation *op, Value base, MemRefType type,
                 ArrayRef<Value> extents) {
    Location loc = op->getLoc();
    int64_t rank = type.getRank();
    Type i64 = builder.getI64Type(), array = LLVM::LLVMArrayType::get(i64, rank);
    SmallVector<Type> parts{pointer, pointer, i64};
    if (rank > 0)
      parts.append({array, array});
    Type descriptor = LLVM::LLVMStructType::getLiteral(&getContext(), parts);
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
    Value stride = rank > 0 ? constant(1) : Value();
    for (int64_t i = rank; i-- > 0;) {
      bool isFixed = !type.isDynamicDim(i);
      Value extent = isFixed ? constant(type.getDimSize(i)) : extents[type.getDynamicDimIndex(i)];
      set(extent, {3, i});
      set(stride, {4, i});
      if (i > 0)
        stride = LLVM::MulOp::create(builder, loc, stride, extent);
    }
    return UnrealizedConversionCastOp::create(builder, loc, type, view).getResult(0);
  }

  Type pointer;
  DictionaryAttr graph; ///< what there is of a graph; may be null
  bool isLost = false;  ///< something is named that is not there
};

} // namespace
