// Implements the access to buffers, weights, caches and the batch.

#include "compiler/lowering/Operands.h"
#include "compiler/analysis/PackedWeights.h"
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

/// Where a row of a matrix in panels lies.
struct PanelRow {
  Value panel, width; ///< which panel, and of how many rows
  Value lane;         ///< which of them
};

static PanelRow panelRow(KernelBuilder &kernel, const Matrix &matrix, Value row) {
  Value panelWidth = kernel.integer(kPanelColumns);
  Value panel = kernel.div(row, panelWidth);
  int64_t full = matrix.rows / kPanelColumns;
  int64_t last = panelColumns(matrix.rows) - full * kPanelColumns;
  Value width =
      last == 0
          ? panelWidth
          : kernel.select(kernel.compare(arith::CmpIPredicate::slt, panel, kernel.integer(full)),
                          panelWidth, kernel.integer(last));
  return {panel, width, kernel.rem(row, panelWidth)};
}

static Value loadByte(KernelBuilder &kernel, Value base, Value offset) {
  return arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(),
                                kernel.load(kernel.i8(), kernel.addressBytes(base, offset)));
}

static Value toFloat(KernelBuilder &kernel, Value integer) {
  return arith::SIToFPOp::create(kernel.builder, kernel.loc, kernel.f32(), integer);
}

/// Code `inGroup` (i64) of a row, of a group that begins at `record`; not of fp8.
static Value quantizedCode(KernelBuilder &kernel, QuantFormat format, const PanelRow &row,
                           Value record, Value inGroup) {
  // `bits` bits, from `bit` on, of that byte of the row's word `word` which has a part of the code.
  auto loadField = [&](Value word, Value bit, int64_t bits) -> Value {
    Value place = kernel.add(kernel.mul(word, row.width), row.lane);
    Value byte =
        kernel.add(kernel.mul(place, kernel.integer(4)), kernel.rem(inGroup, kernel.integer(4)));
    Value shifted =
        arith::ShRUIOp::create(kernel.builder, kernel.loc, loadByte(kernel, record, byte), bit);
    return kernel.bitAnd(shifted, kernel.integer((1 << bits) - 1));
  };
  Value chunk = kernel.div(inGroup, kernel.integer(kQuantChunk));
  Value quad = kernel.div(kernel.rem(inGroup, kernel.integer(kQuantChunk)), kernel.integer(4));
  Value quadsPerWord = kernel.integer(quantQuadsPerWord(format));
  Value words = kernel.mul(chunk, kernel.integer(quantChunkWords(format)));
  Value code = loadField(kernel.add(words, kernel.div(quad, quadsPerWord)),
                         kernel.mul(kernel.rem(quad, quadsPerWord), kernel.integer(4)),
                         traitsOf(format).bits == 8 ? 8 : 4);
  const int64_t above = quantBitsAbove(format);
  if (above == 0)
    return code;
  Value bit = kernel.mul(quad, kernel.integer(above)), eight = kernel.integer(8);
  Value highWords = kernel.add(words, kernel.integer(quantLowWords(format)));
  Value rest =
      loadField(kernel.add(highWords, kernel.div(bit, eight)), kernel.rem(bit, eight), above);
  return kernel.add(code, kernel.shiftLeft(rest, 4));
}

/// What a code of mxfp4 stands for with the exponent `b` (i64) of its group.
static Value floatElement(KernelBuilder &kernel, Value code, Value b) {
  // The scale is 2^(b - 128), the magnitude 0 to 3, or 2 or 3 times a power of two.
  Value magnitude = kernel.bitAnd(code, kernel.integer(7)), two = kernel.integer(2);
  Value odd = kernel.add(two, kernel.bitAnd(code, kernel.integer(1)));
  Value power =
      kernel.max(kernel.sub(kernel.shiftRight(magnitude, 1), kernel.integer(1)), kernel.integer(0));
  Value large = arith::ShLIOp::create(kernel.builder, kernel.loc, odd, power);
  Value isSmall = kernel.compare(arith::CmpIPredicate::slt, magnitude, kernel.integer(4));
  Value value = kernel.select(isSmall, magnitude, large);
  Value isNegative = kernel.compare(arith::CmpIPredicate::sge, code, kernel.integer(8));
  value = kernel.select(isNegative, kernel.sub(kernel.integer(0), value), value);
  Value bits =
      arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(), kernel.shiftLeft(b, 23));
  Value scale = kernel.mul(kernel.bitcast(kernel.f32(), bits), kernel.number(kernel.f32(), 0.5));
  return kernel.mul(toFloat(kernel, value), scale);
}

/// A float of 8 bits, number `inGroup` (i64) of a row of a group that begins at `record`.
static Value float8Element(KernelBuilder &kernel, const PanelRow &row, Value record,
                           Value inGroup) {
  Value two = kernel.integer(2);
  Value word = kernel.add(kernel.mul(kernel.div(inGroup, two), row.width), row.lane);
  Value code =
      loadByte(kernel, record, kernel.add(kernel.mul(word, two), kernel.rem(inGroup, two)));
  // The value is ±2^(exponent - 10) times 8 and the mantissa, but ±2^-9 times the mantissa where
  // the exponent is 0.
  Value exponent = kernel.bitAnd(kernel.shiftRight(code, 3), kernel.integer(15)),
        mantissa = kernel.bitAnd(code, kernel.integer(7)), one = kernel.integer(1);
  Value isSmall = kernel.compare(arith::CmpIPredicate::eq, exponent, kernel.integer(0));
  Value eighths = kernel.select(isSmall, mantissa, kernel.add(mantissa, kernel.integer(8)));
  Value power = kernel.add(kernel.max(exponent, one), kernel.integer(127 - 10));
  Value unit =
      kernel.bitcast(kernel.f32(), arith::TruncIOp::create(kernel.builder, kernel.loc, kernel.i32(),
                                                           kernel.shiftLeft(power, 23)));
  Value isNegative = kernel.compare(arith::CmpIPredicate::sge, code, kernel.integer(128));
  eighths = kernel.select(isNegative, kernel.sub(kernel.integer(0), eighths), eighths);
  return kernel.mul(toFloat(kernel, eighths), unit);
}

/// One element of a quantised matrix as f32.
static Value quantizedElement(KernelBuilder &kernel, const Matrix &matrix, QuantFormat format,
                              Value row, Value column) {
  const QuantTraits &traits = traitsOf(format);
  Value size = kernel.integer(quantGroup(format, matrix.columns));
  const PanelRow place = panelRow(kernel, matrix, row);
  Value start = kernel.add(
      kernel.mul(place.panel,
                 kernel.integer(panelBytes(matrix.element, kPanelColumns, matrix.columns))),
      kernel.mul(kernel.div(column, size),
                 kernel.mul(place.width, kernel.integer(quantGroupBytes(format, matrix.columns)))));
  Value record = kernel.addressBytes(matrix.base, start);
  Value inGroup = kernel.rem(column, size),
        codeBytes = kernel.integer(quantCodeBytes(format, matrix.columns));
  Value rest = kernel.sub(kernel.integer(quantRowCodeBytes(format, matrix.columns)),
                          kernel.mul(kernel.div(column, size), codeBytes));
  Value scales = kernel.addressBytes(record, kernel.mul(place.width, kernel.min(codeBytes, rest)));
  if (traits.codes == QuantCodes::Floats8) {
    Value first = kernel.sub(place.lane, kernel.rem(place.lane, kernel.integer(traits.scaleRows)));
    Value scale = kernel.load(
        kernel.f32(),
        kernel.addressBytes(scales, kernel.mul(first, kernel.integer(quantScaleBytes(format)))));
    return kernel.mul(float8Element(kernel, place, record, inGroup), scale);
  }
  Value code = quantizedCode(kernel, format, place, record, inGroup);
  if (traits.codes == QuantCodes::Floats4)
    return floatElement(kernel, code, loadByte(kernel, scales, place.lane));
  const Type f16 = kernel.builder.getF16Type();
  Value scale = kernel.widen(kernel.load(f16, kernel.address(scales, f16, place.lane)));
  Value zero = kernel.number(kernel.f32(), static_cast<double>(traits.zero));
  if (traits.hasZeros) {
    Value steps = loadByte(kernel, scales,
                           kernel.add(kernel.mul(place.width, kernel.integer(2)), place.lane));
    zero = kernel.div(toFloat(kernel, steps),
                      kernel.number(kernel.f32(), static_cast<double>(kZeroSteps)));
  }
  return kernel.mul(kernel.sub(toFloat(kernel, code), zero), scale);
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
  if (std::optional<QuantFormat> format = quantFormatOf(matrix.element))
    return quantizedElement(kernel, matrix, *format, row, column);
  return kernel.widen(
      kernel.load(matrix.element,
                  kernel.addressBytes(matrix.base, elementOffset(kernel, matrix, row, column))));
}

Value moec::matrixLanes(KernelBuilder &kernel, const Matrix &matrix, Value row, Value column,
                        int64_t lanes) {
  if (matrix.layout == lm::Layout::Rows) {
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
      indexed(cache.getIndexed()), elementBytes(bytesOf(element)),
      keyDepth(panelDepth(size, elementBytes)), valueWidth(roundUpTo(values, kPanelLanes)) {}

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
  if (layout.indexed)
    return rowOffset(kernel, layout, layout.keyDepth, slot, i);
  return panelOffset(kernel, layout, layout.keyDepth, i, slot);
}

Value moec::valueOffset(KernelBuilder &kernel, const CacheLayout &layout, Value slot, Value i) {
  if (layout.latent)
    return keyOffset(kernel, layout, slot, i);
  Value offset = layout.indexed ? rowOffset(kernel, layout, layout.valueWidth, slot, i)
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
