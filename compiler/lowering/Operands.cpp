// Implements the access to buffers, weights, caches and the batch.

#include "compiler/lowering/Operands.h"
#include "compiler/analysis/PackedWeights.h"
#include "compiler/analysis/StepFunction.h"
#include "compiler/lowering/QuantizedElements.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "runtime/core/Step.h"

#include <cstddef>

using namespace mlir;
using namespace moec;

static Value toInteger(KernelBuilder &kernel, Value index) {
  return index.getType().isIndex()
             ? arith::IndexCastOp::create(kernel.builder, kernel.loc, kernel.i64(), index)
             : index;
}

static Value pointerOf(KernelBuilder &kernel, Value memref) {
  Value index = memref::ExtractAlignedPointerAsIndexOp::create(kernel.builder, kernel.loc, memref);
  return LLVM::IntToPtrOp::create(kernel.builder, kernel.loc, kernel.pointer(),
                                  toInteger(kernel, index));
}

static Value loadPointer(KernelBuilder &kernel, Value from) {
  return LLVM::LoadOp::create(kernel.builder, kernel.loc, kernel.pointer(), from);
}

RowBuffer moec::rowBuffer(KernelBuilder &kernel, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  auto metadata = memref::ExtractStridedMetadataOp::create(kernel.builder, kernel.loc, memref);
  auto resolve = [&](OpFoldResult value) -> Value {
    if (auto attribute = dyn_cast<Attribute>(value))
      return kernel.integer(cast<IntegerAttr>(attribute).getInt());
    return toInteger(kernel, cast<Value>(value));
  };
  Value base = kernel.address(pointerOf(kernel, memref), type.getElementType(),
                              resolve(metadata.getConstifiedMixedOffset()));
  bool hasColumns = type.getRank() == 2;
  return {base, type.getElementType(), resolve(metadata.getConstifiedMixedStrides().front()),
          resolve(metadata.getConstifiedMixedSizes().front()), hasColumns ? type.getDimSize(1) : 1};
}

int64_t Matrix::bytes() const { return packedBytes(layout, element, rows, columns); }

Matrix moec::matrixOf(KernelBuilder &kernel, Value weight, Value expert) {
  ArrayRef<int64_t> shape = cast<ShapedType>(weight.getType()).getShape();
  Matrix matrix{{},
                lm::Layout::Rows,
                cast<ShapedType>(weight.getType()).getElementType(),
                shape.size() == 1 ? 1 : shape[shape.size() - 2],
                shape.back()};
  auto load = weight.getDefiningOp<lm::LoadWeightOp>();
  if (!load) {
    matrix.base = pointerOf(kernel, weight);
    if (expert)
      matrix.base =
          kernel.addressBytes(matrix.base, kernel.mul(expert, kernel.integer(matrix.bytes())));
    return matrix;
  }
  auto symbol = SymbolTable::lookupNearestSymbolFrom<lm::WeightOp>(load, load.getWeightAttr());
  lm::PackedAttr packed = symbol.getPackedAttr();
  matrix.layout = packed.getLayout();
  matrix.element = packed.getElement();
  Value ordinal = kernel.integer(0);
  if (load.getLayer()) {
    // The layer's place among those that have this weight.
    SmallVector<int64_t> ordinals(symbol.getLayers().back() + 1, 0);
    for (auto [index, layer] : llvm::enumerate(symbol.getLayers()))
      ordinals[layer] = index;
    ordinal = tableEntry(kernel, ordinals, toInteger(kernel, load.getLayer()));
  }
  Value index = kernel.mul(ordinal, kernel.integer(symbol.getNumMatrices()));
  if (expert)
    index = kernel.add(index, expert);
  if (packed.getMapped()) {
    Value pieces =
        batchField(kernel, offsetof(moec_step_arguments, weight_pieces), kernel.pointer());
    Value entry =
        kernel.address(pieces, kernel.i64(), kernel.add(index, kernel.integer(packed.getOffset())));
    matrix.base = loadPointer(kernel, entry);
  } else if (load->getParentOfType<func::FuncOp>().getName() == kGraphName) {
    // Where the weight begins is told from outside, so that phases which differ in that alone share
    // a function.
    const OpBuilder::InsertPoint here = kernel.builder.saveInsertionPoint();
    kernel.builder.setInsertionPointAfter(load);
    Value base = batchField(kernel, offsetof(moec_step_arguments, weights), kernel.pointer());
    base = kernel.address(base, packed.getOffset());
    kernel.builder.restoreInsertionPoint(here);
    matrix.base = kernel.addressBytes(base, kernel.mul(index, kernel.integer(matrix.bytes())));
  } else {
    Value base = batchField(kernel, offsetof(moec_step_arguments, weights), kernel.pointer());
    Value offset = kernel.add(kernel.mul(index, kernel.integer(matrix.bytes())),
                              kernel.integer(packed.getOffset()));
    matrix.base = kernel.addressBytes(base, offset);
  }
  return matrix;
}

std::optional<Matrix> moec::vectorOf(KernelBuilder &kernel, Value weight, Value expert) {
  return weight ? std::optional(matrixOf(kernel, weight, expert)) : std::nullopt;
}

/// Bytes from the start of a matrix to an element.
static Value elementOffset(KernelBuilder &kernel, const Matrix &matrix, Value row, Value column) {
  int64_t size = bytesOf(matrix.element);
  if (matrix.layout == lm::Layout::Rows)
    return kernel.mul(kernel.add(kernel.mul(row, kernel.integer(matrix.columns)), column),
                      kernel.integer(size));
  int64_t depth = panelDepth(matrix.columns, size), pair = size == 2 ? 2 : 1;
  auto [panel, width, lane] = panelRow(kernel, matrix, row);
  Value start = kernel.mul(panel, kernel.integer(kPanelColumns * depth));
  Value group = kernel.add(kernel.mul(kernel.div(column, kernel.integer(pair)), width), lane);
  Value inGroup =
      kernel.add(kernel.mul(group, kernel.integer(pair)), kernel.rem(column, kernel.integer(pair)));
  return kernel.mul(kernel.add(start, inGroup), kernel.integer(size));
}

Value moec::matrixElement(KernelBuilder &kernel, const Matrix &matrix, Value row, Value column) {
  if (quantFormatOf(matrix.element))
    return quantizedElement(kernel, matrix, row, column);
  return kernel.widen(
      kernel.load(matrix.element,
                  kernel.addressBytes(matrix.base, elementOffset(kernel, matrix, row, column))));
}

Value moec::matrixLanes(KernelBuilder &kernel, const Matrix &matrix, Value row, Value column,
                        int64_t lanes) {
  if (matrix.layout == lm::Layout::Rows && !quantFormatOf(matrix.element)) {
    Value at = kernel.addressBytes(matrix.base, elementOffset(kernel, matrix, row, column));
    return kernel.widen(kernel.loadLanes(matrix.element, at, lanes));
  }
  return kernel.eachLane(lanes, [&](Value lane) {
    return matrixElement(kernel, matrix, row, kernel.add(column, lane));
  });
}

Value moec::columnLanes(KernelBuilder &kernel, const Matrix &matrix, Value first, int64_t lanes) {
  assert(matrix.columns == 1 && matrix.layout == lm::Layout::Rows && "its entries are adjacent");
  Value at = kernel.address(matrix.base, matrix.element, first);
  return kernel.widen(kernel.loadLanes(matrix.element, at, lanes));
}

Value moec::batchPointer(KernelBuilder &kernel) {
  auto function =
      kernel.builder.getInsertionBlock()->getParentOp()->getParentOfType<func::FuncOp>();
  if (!function)
    function = cast<func::FuncOp>(kernel.builder.getInsertionBlock()->getParentOp());
  Value batch = function.getArgument(0);
  return UnrealizedConversionCastOp::create(kernel.builder, kernel.loc, kernel.pointer(), batch)
      .getResult(0);
}

Value moec::batchField(KernelBuilder &kernel, uint64_t offset, Type type) {
  Value field = kernel.address(batchPointer(kernel), static_cast<int64_t>(offset));
  return type == kernel.pointer() ? loadPointer(kernel, field) : kernel.load(type, field);
}

Value moec::tableEntry(KernelBuilder &kernel, ArrayRef<int64_t> table, Value index) {
  bool isIdentity = llvm::all_of(llvm::enumerate(table), [](auto entry) {
    return static_cast<int64_t>(entry.index()) == entry.value();
  });
  if (isIdentity)
    return index;
  if (llvm::all_equal(table))
    return kernel.integer(table.front());
  SmallVector<int32_t> entries(table.begin(), table.end());
  auto type = RankedTensorType::get({static_cast<int64_t>(table.size())}, kernel.i32());
  Value base = kernel.constantTable(DenseElementsAttr::get(type, ArrayRef(entries)));
  return loadId(kernel, base, index);
}

CacheLayout::CacheLayout(lm::CacheOp cache)
    : element(cache.getElement()), heads(cache.getHeads()), size(cache.getSize()),
      values(cache.getValueSize()), block(cache.getBlock()), window(cache.getWindow()),
      chunk(cache.getChunk()), layers(cache.getLayers().size()), latent(cache.getLatent()),
      rows(cache.getRows() || cache.getIndexed()), indexed(cache.getIndexed()),
      elementBytes(bytesOf(element)),
      keyDepth(cache.getRows() ? roundUpTo(size, kPanelLanes) : panelDepth(size, elementBytes)),
      valueWidth(roundUpTo(values, kPanelLanes)) {}

CacheView moec::cacheView(KernelBuilder &kernel, lm::CacheOp cache, Value layer) {
  int64_t group = 0;
  for (auto other : cache->getParentOfType<ModuleOp>().getOps<lm::CacheOp>()) {
    if (other == cache)
      break;
    ++group;
  }
  CacheLayout layout(cache);
  SmallVector<int64_t> ordinals(cache.getLayers().back() + 1, 0);
  for (auto [index, member] : llvm::enumerate(cache.getLayers()))
    ordinals[member] = index;
  Value ordinal = tableEntry(kernel, ordinals, toInteger(kernel, layer));
  auto entry = [&](uint64_t field) {
    Value array = batchField(kernel, field, kernel.pointer());
    return loadPointer(kernel, kernel.address(array, group * kPointerBytes));
  };
  Value blocks =
      kernel.addressBytes(entry(offsetof(moec_step_arguments, caches)),
                          kernel.mul(ordinal, kernel.integer(layout.heads * layout.headBytes())));
  return {layout, blocks, entry(offsetof(moec_step_arguments, block_tables)),
          batchField(kernel, offsetof(moec_step_arguments, block_stride), kernel.i64())};
}

Value moec::cacheHead(KernelBuilder &kernel, const CacheView &cache, Value sequence, Value position,
                      Value head) {
  Value entry = kernel.add(kernel.mul(sequence, cache.stride),
                           kernel.div(position, kernel.integer(cache.layout.block)));
  Value block = loadId(kernel, cache.tables, entry);
  Value offset = kernel.add(kernel.mul(block, kernel.integer(cache.layout.blockBytes())),
                            kernel.mul(head, kernel.integer(cache.layout.headBytes())));
  return kernel.addressBytes(cache.blocks, offset);
}

/// Bytes to element (depth, column) of panels of 16 columns.
static Value panelOffset(KernelBuilder &kernel, const CacheLayout &layout, int64_t depths,
                         Value depth, Value column) {
  Value lanes = kernel.integer(kPanelLanes), size = kernel.integer(layout.elementBytes);
  Value start = kernel.mul(kernel.div(column, lanes), kernel.integer(kPanelLanes * depths));
  Value inPanel = kernel.rem(column, lanes);
  if (layout.elementBytes == 4) {
    Value element = kernel.add(kernel.mul(depth, lanes), inPanel);
    return kernel.mul(kernel.add(start, element), size);
  }
  Value two = kernel.integer(2);
  Value pair = kernel.add(kernel.mul(kernel.div(depth, two), lanes), inPanel);
  Value element = kernel.add(kernel.mul(pair, two), kernel.rem(depth, two));
  return kernel.mul(kernel.add(start, element), size);
}

/// Bytes to an element of rows of `width`.
static Value rowOffset(KernelBuilder &kernel, const CacheLayout &layout, int64_t width, Value slot,
                       Value i) {
  Value element = kernel.add(kernel.mul(slot, kernel.integer(width)), i);
  return kernel.mul(element, kernel.integer(layout.elementBytes));
}

Value moec::keyOffset(KernelBuilder &kernel, const CacheLayout &layout, Value slot, Value i) {
  if (layout.rows)
    return rowOffset(kernel, layout, layout.keyDepth, slot, i);
  return panelOffset(kernel, layout, layout.keyDepth, i, slot);
}

Value moec::valueOffset(KernelBuilder &kernel, const CacheLayout &layout, Value slot, Value i) {
  if (layout.latent)
    return keyOffset(kernel, layout, slot, i);
  Value offset = layout.rows ? rowOffset(kernel, layout, layout.valueWidth, slot, i)
                             : panelOffset(kernel, layout, layout.block, slot, i);
  return kernel.add(kernel.integer(layout.keyBytes()), offset);
}

Value moec::loadRow(KernelBuilder &kernel, Type element, Value row, Value column, int64_t lanes) {
  return kernel.widen(kernel.loadLanes(element, kernel.address(row, element, column), lanes));
}

void moec::storeRow(KernelBuilder &kernel, Value values, Type element, Value row, Value column,
                    int64_t lanes) {
  kernel.storeLanes(kernel.round(element, values), kernel.address(row, element, column), lanes);
}

Value moec::loadId(KernelBuilder &kernel, Value base, Value index) {
  Value id = kernel.load(kernel.i32(), kernel.address(base, kernel.i32(), index));
  return arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), id);
}

void moec::storeId(KernelBuilder &kernel, Value id, Value base, Value index) {
  Value narrow = arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), id);
  kernel.store(narrow, kernel.address(base, kernel.i32(), index));
}
