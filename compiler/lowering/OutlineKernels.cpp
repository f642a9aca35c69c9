// Implements moec-outline-kernels.

#include "compiler/lowering/Lowerings.h"
#include "compiler/lowering/Passes.h"
#include "compiler/lowering/PhaseOutlining.h"
#include "compiler/lowering/RuntimeFunctions.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "runtime/core/Step.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/MathExtras.h"

#include <cstddef>

namespace moec {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "compiler/lowering/Passes.h.inc"
} // namespace moec

using namespace mlir;
using namespace moec;

namespace {

constexpr int64_t kParameterBytes = 8;
/// Blocks that a multiprocessor has to have registers for, at least; where shared memory bounds
/// them, as many as it holds, up to the phase's own number. Left to itself, the assembler spills
/// some to have more; with these nothing is, and more loads are on their way.
constexpr int64_t kLeastBlocks = 2;
/// What a block takes of shared memory beside its own.
constexpr int64_t kReservedSharedBytes = 1 << 10;
/// Parts of a warp's room begin at multiples of it.
constexpr int64_t kRoomAlignment = 64;

/// What a kernel is given, built on both sides at once: the step's values, and what they are
/// inside.
class Parameters {
public:
  Parameters(OpBuilder &step, OpBuilder &kernel, Location loc, Block *entry)
      : step(step), kernel(kernel), loc(loc), entry(entry) {}

  /// Passes an integer or pointer of 8 bytes.
  Value pass(Value value) {
    values.push_back(value);
    return entry->addArgument(value.getType(), loc);
  }
  /// Passes an index, an integer, a pointer or a memref; null for others.
  Value passAny(Value value);

  SmallVector<Value> values;

private:
  Value passMemref(Value memref, MemRefType type);
  Value toInteger(Value index) {
    return arith::IndexCastOp::create(step, loc, step.getI64Type(), index);
  }

  OpBuilder &step, &kernel;
  Location loc;
  Block *entry;
};

struct OutlineKernels final : moec::impl::OutlineKernelsBase<OutlineKernels> {
  using OutlineKernelsBase::OutlineKernelsBase;

  void runOnOperation() override {
    Result<const CudaTarget *> found = findCudaTarget(gpu);
    if (!found.ok()) {
      getOperation().emitError() << found.status().message;
      return signalPassFailure();
    }
    auto step = getOperation().lookupSymbol<func::FuncOp>("step");
    if (!step)
      return;
    if (failed(step.insertArgument(1, IntegerType::get(&getContext(), 64), {}, step.getLoc())) ||
        failed(outlineAll(step, **found)))
      signalPassFailure();
  }

private:
  LogicalResult outlineAll(func::FuncOp step, const CudaTarget &target) {
    FailureOr<LLVM::LLVMFuncOp> launch =
        declareRuntimeFunction(getOperation(), "moec_device_launch");
    if (failed(launch))
      return failure();
    OpBuilder builder = OpBuilder::atBlockEnd(getOperation().getBody());
    auto kernels = gpu::GPUModuleOp::create(builder, step.getLoc(), "kernels");
    SmallVector<Operation *> work;
    step.walk([&](Operation *op) {
      if (isa<lm::PhaseOp, lm::BarrierOp, lm::RunPartOp>(op))
        work.push_back(op);
    });
    size_t index = 0;
    for (Operation *op : work) {
      if (auto phase = dyn_cast<lm::PhaseOp>(op))
        if (failed(outline(step, phase, index++, kernels, *launch, target)))
          return failure();
      if (auto part = dyn_cast<lm::RunPartOp>(op))
        if (failed(callHost(step, part)))
          return failure();
      op->erase();
    }
    // The tables that phases read are now the kernels'.
    for (auto global : llvm::make_early_inc_range(getOperation().getOps<LLVM::GlobalOp>()))
      if (SymbolTable::symbolKnownUseEmpty(global, &step.getBody()))
        global.erase();
    return success();
  }

  LogicalResult outline(func::FuncOp step, lm::PhaseOp phase, size_t index,
                        gpu::GPUModuleOp kernels, LLVM::LLVMFuncOp launch,
                        const CudaTarget &target) {
    Location loc = phase.getLoc();
    OpBuilder builder(phase);
    Type i64 = builder.getI64Type();
    const int64_t room = roomBytes(phase);
    if (room > kStaticSharedBytes)
      return phase.emitOpError() << "\"" << phase.getName() << "\" takes " << room
                                 << " bytes of shared memory for a warp, and a block has "
                                 << kStaticSharedBytes << "; the model's sizes are too large";
    const auto together = static_cast<int64_t>(phase.getWarps());
    const int64_t warps = together > 0 ? together
                          : room == 0  ? target.warpsPerBlock
                                       : std::min(target.warpsPerBlock, kStaticSharedBytes / room);
    /// Of a block at a time.
    const int64_t tilesAtOnce = together > 0 ? 1 : warps;

    // Its type is known once it is known what it is given.
    OpBuilder symbols = OpBuilder::atBlockEnd(kernels.getBody());
    Type none = LLVM::LLVMVoidType::get(&getContext());
    auto kernel = LLVM::LLVMFuncOp::create(symbols, loc, phaseFunctionName(phase, index),
                                           LLVM::LLVMFunctionType::get(none, {}));
    Block *entry = &kernel.getBody().emplaceBlock();
    OpBuilder body = OpBuilder::atBlockEnd(entry);
    Parameters parameters(builder, body, loc, entry);
    Value batch = step.getArgument(0);
    Value arguments = parameters.pass(
        loadBatchPointer(builder, loc, batch, offsetof(moec_step_arguments, device_arguments)));
    Value tiles = arith::IndexCastOp::create(builder, loc, i64, phase.getTiles());
    Value count = parameters.pass(tiles);
    IRMapping inside;
    for (Value value : closePhase(phase)) {
      if (value == batch || isBatchPointer(value, batch))
        continue;
      Value passed = parameters.passAny(value);
      if (!passed)
        return phase.emitOpError()
               << "uses a value of type " << value.getType() << ", which no kernel can be given";
      inside.map(value, passed);
    }
    emitTileLoop(phase, body, loc, count, tilesAtOnce);
    for (Operation &op : *entry)
      op.walk([&](Operation *nested) {
        for (OpOperand &operand : nested->getOpOperands())
          if (Value passed = inside.lookupOrNull(operand.get()))
            operand.set(passed);
          else if (isBatchPointer(operand.get(), batch))
            operand.set(arguments);
      });
    LLVM::ReturnOp::create(body, loc, ValueRange());

    kernel.setFunctionType(
        LLVM::LLVMFunctionType::get(none, llvm::to_vector(entry->getArgumentTypes())));
    kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
    kernel->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                    builder.getDenseI32ArrayAttr({static_cast<int32_t>(warps * kWarpLanes)}));
    dropBatchCasts(kernel);
    if (room > 0)
      placeRooms(kernel, kernels, room, tilesAtOnce);
    copyTables(kernel, kernels);

    int64_t blocksAtWork = kLeastBlocks;
    if (auto bytes = phase->getAttrOfType<IntegerAttr>(kBlockMemoryAttr)) {
      if (bytes.getInt() > target.blockSharedBytes)
        return phase.emitOpError()
               << "takes " << bytes.getInt() << " bytes of shared memory, and a block of "
               << gpu.getValue() << " has " << target.blockSharedBytes;
      kernel->setAttr(kBlockMemoryAttr, bytes);
      blocksAtWork = std::min(target.sharedBytes / (bytes.getInt() + kReservedSharedBytes),
                              phase->getAttrOfType<IntegerAttr>(kMostBlocksAttr).getInt());
    }
    kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    builder.getI32IntegerAttr(static_cast<int32_t>(blocksAtWork)));

    // As many blocks as have a tile.
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIntOp::create(builder, loc, value, 64);
    };
    Value blocks = arith::DivUIOp::create(
        builder, loc, arith::AddIOp::create(builder, loc, tiles, constant(tilesAtOnce - 1)),
        constant(tilesAtOnce));
    emitLaunch(step, builder, loc, launch, index, blocks, parameters.values);
    return success();
  }

  /// Has the host do a part, of the buffers' addresses and sizes.
  LogicalResult callHost(func::FuncOp step, lm::RunPartOp part) {
    static_assert(lm::RunPartOp::kMostRows == MOEC_PART_BUFFERS);
    FailureOr<LLVM::LLVMFuncOp> run = declareRuntimeFunction(getOperation(), "moec_part_run");
    if (failed(run))
      return failure();
    Location loc = part.getLoc();
    OpBuilder builder(part), entry = OpBuilder::atBlockBegin(&step.getBody().front());
    Type i64 = builder.getI64Type(), pointer = LLVM::LLVMPointerType::get(builder.getContext());
    SmallVector<Value> buffers(part.getInputs());
    buffers.push_back(part.getOut());
    auto integer = [&](OpBuilder &at, int64_t value) -> Value {
      return arith::ConstantIntOp::create(at, loc, value, 64);
    };
    Value count = integer(entry, static_cast<int64_t>(buffers.size()));
    Value places = LLVM::AllocaOp::create(entry, loc, pointer, pointer, count),
          sizes = LLVM::AllocaOp::create(entry, loc, pointer, i64, count);
    for (auto [number, buffer] : llvm::enumerate(buffers)) {
      auto type = cast<MemRefType>(buffer.getType());
      if (!type.getLayout().isIdentity())
        return part.emitOpError() << "gives rows of type " << type
                                  << ", wanted such as lie one after another";
      auto store = [&](Value array, Value value) {
        Value to = LLVM::GEPOp::create(builder, loc, pointer, value.getType(), array,
                                       ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(number)});
        LLVM::StoreOp::create(builder, loc, value, to);
      };
      Value address = arith::IndexCastOp::create(
          builder, loc, i64, memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, buffer));
      store(places, LLVM::IntToPtrOp::create(builder, loc, pointer, address));
      Value rows = arith::IndexCastOp::create(builder, loc, i64,
                                              builder.createOrFold<memref::DimOp>(loc, buffer, 0));
      const int64_t rowBytes = type.getDimSize(1) * type.getElementTypeBitWidth() / 8;
      store(sizes, arith::MulIOp::create(builder, loc, rows, integer(builder, rowBytes)));
    }
    Value host =
        loadBatchPointer(builder, loc, step.getArgument(0), offsetof(moec_step_arguments, host));
    Value layer = arith::IndexCastOp::create(builder, loc, i64, part.getLayer());
    LLVM::CallOp::create(builder, loc, *run,
                         ValueRange{host, integer(builder, static_cast<int64_t>(part.getPart())),
                                    layer, places, sizes, count});
    return success();
  }

  /// Launches kernel number `index` if there are blocks.
  static void emitLaunch(func::FuncOp step, OpBuilder &builder, Location loc,
                         LLVM::LLVMFuncOp launch, size_t index, Value blocks,
                         ArrayRef<Value> parameters) {
    Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
    Value zero = arith::ConstantIntOp::create(builder, loc, 0, 64);
    Value isSome = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, blocks, zero);
    auto branch = scf::IfOp::create(builder, loc, isSome, /*withElseRegion=*/false);
    OpBuilder entryOfStep = OpBuilder::atBlockBegin(&step.getBody().front());
    Value bytes = arith::ConstantIntOp::create(
        entryOfStep, loc, static_cast<int64_t>(parameters.size()) * kParameterBytes, 64);
    Value block = LLVM::AllocaOp::create(entryOfStep, loc, pointer, builder.getI8Type(), bytes,
                                         /*alignment=*/kParameterBytes);
    OpBuilder inBranch = OpBuilder::atBlockBegin(branch.thenBlock());
    for (auto [number, value] : llvm::enumerate(parameters)) {
      Value to = LLVM::GEPOp::create(
          inBranch, loc, pointer, builder.getI8Type(), block,
          ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(number * kParameterBytes)});
      LLVM::StoreOp::create(inBranch, loc, value, to);
    }
    Value device =
        loadBatchPointer(inBranch, loc, step.getArgument(0), offsetof(moec_step_arguments, device));
    Value number = arith::ConstantIntOp::create(inBranch, loc, static_cast<int64_t>(index), 64);
    LLVM::CallOp::create(inBranch, loc, launch, ValueRange{device, number, blocks, block, bytes});
  }

  /// Whether `value` is the batch as a pointer to its arguments.
  static bool isBatchPointer(Value value, Value batch) {
    auto cast = value.getDefiningOp<UnrealizedConversionCastOp>();
    return cast && cast.getNumOperands() == 1 && cast.getOperand(0) == batch;
  }

  static void dropBatchCasts(LLVM::LLVMFuncOp kernel) {
    kernel.walk([](UnrealizedConversionCastOp cast) {
      if (cast.use_empty() && isa<lm::BatchType>(cast.getOperand(0).getType()))
        cast.erase();
    });
  }

  /// Tiles go round the blocks, each of which has `atOnce`, for a warp each, or for all.
  static void emitTileLoop(lm::PhaseOp phase, OpBuilder &body, Location loc, Value count,
                           int64_t atOnce) {
    Type i32 = body.getI32Type(), index = body.getIndexType();
    auto read = [&](auto op) -> Value {
      return arith::IndexCastUIOp::create(body, loc, index,
                                          decltype(op)::create(body, loc, i32).getResult());
    };
    Value first = read(NVVM::BlockIdXOp()), stride = read(NVVM::GridDimXOp());
    if (phase.getWarps() == 0) {
      Value inBlock = arith::ConstantIndexOp::create(body, loc, atOnce),
            lanes = arith::ConstantIndexOp::create(body, loc, kWarpLanes);
      Value warp = arith::DivUIOp::create(body, loc, read(NVVM::ThreadIdXOp()), lanes);
      first =
          arith::AddIOp::create(body, loc, arith::MulIOp::create(body, loc, first, inBlock), warp);
      stride = arith::MulIOp::create(body, loc, stride, inBlock);
    }
    Value end = arith::IndexCastOp::create(body, loc, index, count);
    auto loop = scf::ForOp::create(body, loc, first, end, stride);
    Block &tile = phase.getBody().front();
    tile.getArgument(0).replaceAllUsesWith(loop.getInductionVar());
    loop.getBody()->getOperations().splice(loop.getBody()->begin(), tile.getOperations());
  }

  /// Bytes of the room that a tile takes.
  static int64_t roomBytes(Operation *scope) {
    int64_t bytes = 0;
    scope->walk([&](LLVM::AllocaOp room) {
      bytes += llvm::alignTo(getConstantIntValue(room.getArraySize()).value(), kRoomAlignment);
    });
    return bytes;
  }

  /// Room for tiles becomes a part, of `bytes`, of an array in shared memory: each warp's, where a
  /// block has several at a time.
  static void placeRooms(LLVM::LLVMFuncOp kernel, gpu::GPUModuleOp kernels, int64_t bytes,
                         int64_t atOnce) {
    Location loc = kernel.getLoc();
    OpBuilder symbols = OpBuilder::atBlockBegin(kernels.getBody());
    auto type = LLVM::LLVMArrayType::get(symbols.getI8Type(), bytes * atOnce);
    auto array =
        LLVM::GlobalOp::create(symbols, loc, type, /*isConstant=*/false, LLVM::Linkage::Internal,
                               kernel.getSymName().str() + "_rooms", Attribute(), kRoomAlignment,
                               static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared));
    OpBuilder body = OpBuilder::atBlockBegin(&kernel.getBody().front());
    Type pointer = LLVM::LLVMPointerType::get(kernel.getContext());
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantIntOp::create(body, loc, value, 64);
    };
    Value base = LLVM::AddrSpaceCastOp::create(body, loc, pointer,
                                               LLVM::AddressOfOp::create(body, loc, array));
    Value own = base;
    if (atOnce > 1) {
      Value thread = arith::ExtUIOp::create(
          body, loc, body.getI64Type(), NVVM::ThreadIdXOp::create(body, loc, body.getI32Type()));
      Value warp = arith::DivUIOp::create(body, loc, thread, constant(kWarpLanes));
      Value start = arith::MulIOp::create(body, loc, warp, constant(bytes));
      own = LLVM::GEPOp::create(body, loc, pointer, body.getI8Type(), base,
                                ArrayRef<LLVM::GEPArg>{start});
    }
    int64_t offset = 0;
    kernel.walk([&](LLVM::AllocaOp room) {
      Value part = LLVM::GEPOp::create(body, loc, pointer, body.getI8Type(), own,
                                       ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
      offset += llvm::alignTo(getConstantIntValue(room.getArraySize()).value(), kRoomAlignment);
      room.replaceAllUsesWith(part);
      room.erase();
    });
  }

  /// The kernels' module has a copy of each table that they read.
  static void copyTables(LLVM::LLVMFuncOp kernel, gpu::GPUModuleOp kernels) {
    OpBuilder symbols = OpBuilder::atBlockBegin(kernels.getBody());
    auto around = kernels->getParentOfType<ModuleOp>();
    kernel.walk([&](LLVM::AddressOfOp address) {
      if (kernels.lookupSymbol(address.getGlobalName()))
        return;
      symbols.clone(*around.lookupSymbol<LLVM::GlobalOp>(address.getGlobalName()));
    });
  }
};

} // namespace

Value Parameters::passAny(Value value) {
  Type type = value.getType(), i64 = step.getI64Type();
  if (type == i64 || isa<LLVM::LLVMPointerType>(type))
    return pass(value);
  if (type.isIndex())
    return arith::IndexCastOp::create(kernel, loc, type, pass(toInteger(value)));
  if (type.isInteger() && type.getIntOrFloatBitWidth() < 64)
    return arith::TruncIOp::create(kernel, loc, type,
                                   pass(arith::ExtUIOp::create(step, loc, i64, value)));
  if (auto memref = dyn_cast<MemRefType>(type))
    return passMemref(value, memref);
  return {};
}

/// Its address is that of its first element, unless its type fixes an offset.
Value Parameters::passMemref(Value memref, MemRefType type) {
  Type i64 = step.getI64Type(), pointer = LLVM::LLVMPointerType::get(step.getContext());
  auto metadata = memref::ExtractStridedMetadataOp::create(step, loc, memref);
  Value address = toInteger(memref::ExtractAlignedPointerAsIndexOp::create(step, loc, memref));
  auto [strides, offset] = type.getStridesAndOffset();
  if (ShapedType::isDynamic(offset)) {
    Value size = arith::ConstantIntOp::create(step, loc, type.getElementTypeBitWidth() / 8, 64);
    Value bytes = arith::MulIOp::create(step, loc, toInteger(metadata.getOffset()), size);
    address = arith::AddIOp::create(step, loc, address, bytes);
    offset = 0;
  }
  const int64_t rank = type.getRank();
  Type array = LLVM::LLVMArrayType::get(i64, rank);
  Type descriptor =
      LLVM::LLVMStructType::getLiteral(step.getContext(), {pointer, pointer, i64, array, array});
  Value view = LLVM::UndefOp::create(kernel, loc, descriptor);
  auto set = [&](Value value, ArrayRef<int64_t> at) {
    view = LLVM::InsertValueOp::create(kernel, loc, view, value, at);
  };
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(kernel, loc, i64, kernel.getI64IntegerAttr(value));
  };
  Value base = pass(LLVM::IntToPtrOp::create(step, loc, pointer, address));
  set(base, {0});
  set(base, {1});
  set(constant(offset), {2});
  for (int64_t i = 0; i < rank; ++i) {
    set(type.isDynamicDim(i) ? pass(toInteger(metadata.getSizes()[i]))
                             : constant(type.getDimSize(i)),
        {3, i});
    set(ShapedType::isDynamic(strides[i]) ? pass(toInteger(metadata.getStrides()[i]))
                                          : constant(strides[i]),
        {4, i});
  }
  return UnrealizedConversionCastOp::create(kernel, loc, type, view).getResult(0);
}
