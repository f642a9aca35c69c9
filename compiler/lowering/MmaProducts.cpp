// Lowers products to tensor cores: a block of threads makes some columns of some rows.

#include "compiler/analysis/PackedWeights.h"
#include "compiler/analysis/TensorCores.h"
#include "compiler/lowering/Lowerings.h"
#include "compiler/targets/cuda/CudaTarget.h"
#include "compiler/targets/cuda/MmaProduct.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace moec;

static MmaMatrix mmaMatrix(const Matrix &matrix) {
  const std::optional<QuantFormat> format = quantFormatOf(matrix.element);
  assert(matrix.layout == lm::Layout::Rows && (format || matrix.element.isBF16()) &&
         "lm-form-phases looked");
  return {matrix.base, matrix.rows, matrix.columns, format};
}

/// The rows of `input` from `base` (!llvm.ptr) on.
static MmaRows mmaRows(Value input, Value base, Value stride, Value count) {
  MmaRows rows{base, stride, count, {}};
  auto type = cast<MemRefType>(input.getType());
  if (type.getElementType().isInteger(8)) {
    rows.integers = true;
    rows.alignment = rowAlignment(type);
  }
  return rows;
}

Value moec::blockMemory(ThreadBuilder &kernel, lm::PhaseOp phase, int64_t bytes, int64_t blocks) {
  constexpr StringRef kName = "block_memory";
  constexpr uint64_t kAlignment = 128;
  auto module = phase->getParentOfType<ModuleOp>();
  auto memory = module.lookupSymbol<LLVM::GlobalOp>(kName);
  if (!memory) {
    OpBuilder symbols = OpBuilder::atBlockBegin(module.getBody());
    memory =
        LLVM::GlobalOp::create(symbols, module.getLoc(), LLVM::LLVMArrayType::get(kernel.i8(), 0),
                               /*isConstant=*/false, LLVM::Linkage::External, kName, Attribute(),
                               kAlignment, static_cast<unsigned>(NVVM::NVVMMemorySpace::Shared));
  }
  phase->setAttr(kBlockMemoryAttr, kernel.builder.getI64IntegerAttr(bytes));
  phase->setAttr(kMostBlocksAttr, kernel.builder.getI64IntegerAttr(blocks));
  return LLVM::AddressOfOp::create(kernel.builder, kernel.loc, memory);
}

namespace {
/// What the ops have in common: a phase's tile of the tensor cores' kind, and where it works.
class MmaWork {
public:
  MmaWork(ThreadBuilder &kernel, lm::PhaseOp phase, const Tile &tile, Value input, Value weight,
          int64_t matrices)
      : kernel(kernel), format(quantFormatOf(packedElementOf(weight))),
        kind(mmaKindOf(format, getElementTypeOrSelf(input).isInteger(8))),
        shape(mmaTileOf(kind, static_cast<int64_t>(phase.getRows()))), tile(tile),
        matrices(matrices),
        memory(blockMemory(kernel, phase, mmaSharedBytes(shape, matrices, kind, format),
                           shape.blocks)) {}

  /// Which block of rows, or entry of a list, and which column is the tile's first.
  std::pair<Value, Value> split(int64_t width) const {
    auto [block, panel] = tile.split(kernel, mmaPanels(shape, width, matrices));
    return {block, kernel.mul(panel, kernel.integer(shape.columns(matrices)))};
  }
  void multiply(const MmaRows &rows, ArrayRef<MmaMatrix> matrices, Value first,
                MmaFinish finish) const {
    emitMmaProduct(kernel, shape, rows, matrices, first, memory, finish);
  }

  ThreadBuilder &kernel;
  const std::optional<QuantFormat> format; ///< of codes
  const MmaKind kind;
  const MmaTile shape;

private:
  const Tile &tile;
  const int64_t matrices;
  const Value memory;
};
} // namespace

static void put(ThreadBuilder &kernel, Value value, const RowBuffer &out, Value row, Value column) {
  kernel.store(kernel.round(out.element, value),
               kernel.address(out.row(kernel, row), out.element, column));
}

void moec::lowerLinearByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::LinearOp op,
                              const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  std::optional<Matrix> bias = vectorOf(kernel, op.getBias());
  MmaWork work(kernel, phase, tile, op.getInput(), op.getWeight(), 1);
  auto [block, first] = work.split(out.columns);
  auto [begin, end] = Tile{block, tile.rows}.rowsOf(kernel, out);
  const MmaRows rows =
      mmaRows(op.getInput(), input.row(kernel, begin), input.stride, kernel.sub(end, begin));
  work.multiply(rows, mmaMatrix(matrixOf(kernel, op.getWeight())), first,
                [&, begin = begin](Value inTile, Value column, ArrayRef<Value> sums) {
                  Value row = kernel.add(begin, inTile), value = sums[0];
                  if (bias)
                    value =
                        kernel.add(value, matrixElement(kernel, *bias, kernel.integer(0), column));
                  if (op.getAccumulate())
                    value = kernel.add(
                        kernel.widen(kernel.load(out.element, kernel.address(out.row(kernel, row),
                                                                             out.element, column))),
                        value);
                  put(kernel, value, out, row, column);
                });
}

void moec::lowerHeadLinearByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, lm::HeadLinearOp op,
                                  const Tile &tile) {
  RowBuffer input = rowBuffer(kernel, op.getInput()), out = rowBuffer(kernel, op.getOut());
  const int64_t heads = extentOf(op.getWeight(), 0), width = extentOf(op.getWeight(), 1),
                depth = extentOf(op.getWeight(), 2);
  MmaWork work(kernel, phase, tile, op.getInput(), op.getWeight(), 1);
  auto [place, first] = work.split(width);
  Value block = kernel.div(place, kernel.integer(heads)),
        head = kernel.rem(place, kernel.integer(heads));
  auto [begin, end] = Tile{block, tile.rows}.rowsOf(kernel, out);
  Value from = kernel.address(input.row(kernel, begin), input.element,
                              kernel.mul(head, kernel.integer(depth)));
  Value firstOut = kernel.mul(head, kernel.integer(width));
  work.multiply(mmaRows(op.getInput(), from, input.stride, kernel.sub(end, begin)),
                mmaMatrix(matrixOf(kernel, op.getWeight(), head)), first,
                [&, begin = begin](Value inTile, Value column, ArrayRef<Value> sums) {
                  put(kernel, sums[0], out, kernel.add(begin, inTile),
                      kernel.add(firstOut, column));
                });
}

/// Rows of an expert that a tile of a grouped product works on at a time.
struct ExpertBlock {
  Value expert, column; ///< which, and the first column (i64)
  MmaRows rows;
  Value first; ///< i64: their first in the sorted order
};

/// Emits `body` for each block of rows of the tile's entry in the list; one behind its end has
/// none.
template <typename Op>
static void forExpertBlocks(const MmaWork &work, Op op, const RowBuffer &out,
                            function_ref<void(const ExpertBlock &)> body) {
  ThreadBuilder &kernel = work.kernel;
  RowBuffer input = rowBuffer(kernel, op.getInput()), tiles = rowBuffer(kernel, op.getTiles());
  auto [index, column] = work.split(out.columns);
  Value isListed = kernel.compare(arith::CmpIPredicate::slt, index, listedCount(kernel, tiles));
  kernel.when(isListed, [&, index = index, column = column] {
    const ListedRows listed = listedRows(kernel, tiles, index);
    kernel.loop(kernel.integer(0), listed.count, work.shape.rows, [&](Value done) {
      Value first = kernel.add(listed.first, done),
            count = kernel.min(kernel.integer(work.shape.rows), kernel.sub(listed.count, done));
      MmaRows rows = mmaRows(op.getInput(), input.base, input.stride, count);
      if (op.getRows())
        rows.indices = kernel.address(rowBuffer(kernel, op.getRows()).base, kernel.i32(), first);
      else
        rows.base = input.row(kernel, first);
      body({listed.expert, column, rows, first});
    });
  });
}

/// With what the row's sums are multiplied, or null.
template <typename Op>
static Value shareOf(ThreadBuilder &kernel, Op op, const ExpertBlock &block, Value inTile) {
  if (!op.getWeights())
    return {};
  Value token = loadId(kernel, block.rows.indices, inTile);
  return emitPickWeight(kernel, op.getExperts(), op.getWeights(), token, block.expert);
}

void moec::lowerGroupedMatmulByBlock(ThreadBuilder &kernel, lm::PhaseOp phase,
                                     moe::GroupedMatmulOp op, const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  MmaWork work(kernel, phase, tile, op.getInput(), op.getWeight(), 1);
  forExpertBlocks(work, op, out, [&](const ExpertBlock &block) {
    std::optional<Matrix> bias = vectorOf(kernel, op.getBias(), block.expert);
    work.multiply(block.rows, mmaMatrix(matrixOf(kernel, op.getWeight(), block.expert)),
                  block.column, [&](Value inTile, Value column, ArrayRef<Value> sums) {
                    Value share = shareOf(kernel, op, block, inTile);
                    Value sum = emitExpertSum(kernel, sums[0], share, bias, column);
                    put(kernel, emitActivation(kernel, op.getActivationAttr(), sum), out,
                        kernel.add(block.first, inTile), column);
                  });
  });
}

void moec::lowerGroupedGluByBlock(ThreadBuilder &kernel, lm::PhaseOp phase, moe::GroupedGluOp op,
                                  const Tile &tile) {
  RowBuffer out = rowBuffer(kernel, op.getOut());
  MmaWork work(kernel, phase, tile, op.getInput(), op.getGate(), 2);
  forExpertBlocks(work, op, out, [&](const ExpertBlock &block) {
    const MmaMatrix matrices[] = {mmaMatrix(matrixOf(kernel, op.getGate(), block.expert)),
                                  mmaMatrix(matrixOf(kernel, op.getUp(), block.expert))};
    std::optional<Matrix> gateBias = vectorOf(kernel, op.getGateBias(), block.expert),
                          upBias = vectorOf(kernel, op.getUpBias(), block.expert);
    work.multiply(block.rows, matrices, block.column,
                  [&](Value inTile, Value column, ArrayRef<Value> sums) {
                    Value share = shareOf(kernel, op, block, inTile);
                    Value gate = emitExpertSum(kernel, sums[0], share, gateBias, column),
                          up = emitExpertSum(kernel, sums[1], share, upBias, column);
                    put(kernel, emitGatedActivation(kernel, op.getActivation(), gate, up), out,
                        kernel.add(block.first, inTile), column);
                  });
  });
}
