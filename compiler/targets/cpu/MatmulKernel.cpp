// Products by tiles of rows and panels of columns, on top of the product functions.

#include "compiler/targets/cpu/ProductFunctions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace moec;

SmallVector<Value> TileOperands::asArguments() const { return {rows, height, number, panel, sums}; }

TileOperands TileOperands::fromArguments(ValueRange arguments) {
  return {arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]};
}

SmallVector<Value> TileOperands::loadRows(CpuKernelBuilder &kernel, int64_t count) const {
  SmallVector<Value> loaded;
  for (int64_t row = 0; row < count; ++row)
    loaded.push_back(kernel.load(kernel.pointer(), kernel.address(rows, row * kPointerBytes)));
  return loaded;
}

void moec::emitRegisterTiles(
    CpuKernelBuilder &kernel, const TileOperands &tile, Value vectors, int64_t tallest,
    int64_t lanes, function_ref<void(ArrayRef<Value> rows, int64_t taken, Value from)> pass) {
  constexpr int64_t kMostVectors = kPanelColumns / kLanes; // of a weight's full panel
  kernel.dispatch(tile.height, 1, tallest, [&](int64_t height) {
    SmallVector<Value> rows = tile.loadRows(kernel, height);
    const int64_t fitting = std::clamp<int64_t>(lanes / kLanes / height, 1, kMostVectors);
    Value rest = kernel.rem(vectors, kernel.integer(fitting)), whole = kernel.sub(vectors, rest);
    kernel.loop(kernel.integer(0), whole, fitting, [&](Value from) { pass(rows, fitting, from); });
    if (fitting > 1)
      kernel.dispatch(rest, 1, fitting - 1, [&](int64_t taken) { pass(rows, taken, whole); });
  });
}

Value moec::sumVector(CpuKernelBuilder &kernel, Value vectors, size_t index, int64_t taken,
                      Value from) {
  const auto number = static_cast<int64_t>(index);
  return kernel.add(kernel.mul(kernel.integer(number / taken), vectors),
                    kernel.add(from, kernel.integer(number % taken)));
}

bool moec::waitsForMemory(size_t rows, int64_t tallest) {
  return 2 * static_cast<int64_t>(rows) <= tallest;
}

bool moec::readsHalvesTogether(const CpuTarget &target, size_t count) {
  return 2 * count * kLanes <= static_cast<size_t>(target.tileLanes);
}

void moec::askAhead(CpuKernelBuilder &kernel, const ReadAhead &ahead, Value at, int64_t bytes) {
  constexpr int64_t kCacheLine = 64;
  for (int64_t line = 0; line < bytes; line += kCacheLine)
    kernel.prefetch(kernel.address(at, line + ahead.bytes), ahead.cache);
}

std::string moec::productName(StringRef stem, Type activation, Type weight) {
  std::string name;
  llvm::raw_string_ostream(name) << stem << '_' << activation << '_' << weight;
  return name;
}

void moec::emitRowTiles(CpuKernelBuilder &kernel, Value count, int64_t tallest,
                        function_ref<void(Value first, Value height, Value number)> body) {
  // Tiles of nearly equal height: 9 rows as 5 + 4 keep more sums in flight than 8 + 1.
  Value tiles = kernel.div(kernel.add(count, kernel.integer(tallest - 1)), kernel.integer(tallest));
  Value divisor = kernel.max(tiles, kernel.integer(1));
  Value height = kernel.div(count, divisor), taller = kernel.rem(count, divisor);
  kernel.loop(kernel.integer(0), tiles, 1, [&](Value tile) {
    Value first = kernel.add(kernel.mul(tile, height), kernel.min(tile, taller));
    Value isTaller = kernel.compare(arith::CmpIPredicate::slt, tile, taller);
    Value more = arith::ExtUIOp::create(kernel.builder, kernel.loc, kernel.i64(), isTaller);
    body(first, kernel.add(height, more), tile);
  });
}

/// Writes to `addresses` where the `height` rows from `first` on begin.
static void storeRowAddresses(CpuKernelBuilder &kernel, const ActivationRows &rows, Value first,
                              Value height, Value addresses) {
  kernel.loop(kernel.integer(0), height, 1, [&](Value number) {
    Value row = kernel.add(first, number);
    if (rows.indices) {
      Value index = kernel.load(kernel.i32(), kernel.address(rows.indices, kernel.i32(), row));
      row = arith::ExtSIOp::create(kernel.builder, kernel.loc, kernel.i64(), index);
    }
    kernel.store(kernel.address(rows.base, rows.element, kernel.mul(row, rows.stride)),
                 kernel.address(addresses, kernel.pointer(), number));
  });
}

bool moec::multipliesMatrices(const CpuTarget &target, Type activation, const PanelShape &shape) {
  if (!target.hasMatrices() || shape.layout != lm::Layout::Panels)
    return false;
  if (quantFormatOf(shape.element))
    return activation.isInteger(8);
  return activation.isBF16() && shape.element.isBF16();
}

/// Rows of the tallest tile that a product function takes.
static int64_t tallestTile(const CpuTarget &target, Type activation, const PanelShape &shape) {
  if (multipliesMatrices(target, activation, shape))
    return target.matrixRows;
  if (activation.isInteger(8))
    return target.quantRows;
  return shape.layout == lm::Layout::Rows ? target.storedTileRows : target.tileRows;
}

/// Copies rows from where `addresses` says to `room`, one after another, and writes where they are
/// over those addresses. A row has `count` elements.
static void gatherRows(CpuKernelBuilder &kernel, Type element, int64_t count, Value addresses,
                       Value height, Value room) {
  kernel.loop(kernel.integer(0), height, 1, [&](Value row) {
    Value place = kernel.address(addresses, kernel.pointer(), row);
    Value from = kernel.load(kernel.pointer(), place);
    Value to = kernel.address(room, element, kernel.mul(row, kernel.integer(count)));
    kernel.forColumns(count, [&](Value column, int64_t lanes) {
      kernel.storeLanes(kernel.loadLanes(element, kernel.address(from, element, column), lanes),
                        kernel.address(to, element, column), lanes);
    });
    kernel.store(to, place);
  });
}

/// Calls the epilogue for the sums of the `height` rows from `first` on.
static void emitEpilogue(CpuKernelBuilder &kernel, const PanelShape &shape, ArrayRef<Value> sums,
                         Value first, Value height, MatmulEpilogue epilogue,
                         MatmulRowFactor factor) {
  kernel.loop(kernel.integer(0), height, 1, [&](Value number) {
    Value scale = factor ? kernel.broadcast(factor(kernel.add(first, number))) : Value();
    kernel.forColumns(shape.columns, [&](Value column, int64_t lanes) {
      Value at = kernel.add(kernel.mul(number, kernel.integer(shape.width)), column);
      SmallVector<Value> together;
      for (Value product : sums) {
        Value sum =
            kernel.load(kernel.lanes(kernel.f32()), kernel.address(product, kernel.f32(), at));
        together.push_back(scale ? kernel.mul(sum, scale) : sum);
      }
      epilogue(kernel.add(first, number), column, lanes, together);
    });
  });
}

void moec::emitPanelProduct(CpuKernelBuilder &kernel, const ActivationRows &rows,
                            const PanelShape &shape, ArrayRef<Value> panels,
                            MatmulEpilogue epilogue, MatmulRowFactor factor) {
  const bool stored = shape.layout == lm::Layout::Rows;
  const bool integers = rows.element.isInteger(8);
  const bool floats = !integers && quantFormatOf(shape.element);
  const bool exchanges = floats && exchangesColumns(kernel, rows.element, shape);
  const bool gathers = rows.indices && multipliesMatrices(kernel.target, rows.element, shape);
  const int64_t tallest = tallestTile(kernel.target, rows.element, shape);
  // A row as the product functions read it. Quantised ones are words: blocks end in two.
  const Type element = integers ? kernel.i32() : rows.element;
  const int64_t rowBytes =
      integers ? preparedRowBytes(kernel.target, shape) : shape.depth * bytesOf(rows.element);
  Value addresses = kernel.scratch(tallest * kPointerBytes);
  Value room = integers || exchanges || gathers ? kernel.scratch(tallest * rowBytes) : Value();
  SmallVector<Value> sums;
  for (size_t i = 0; i < panels.size(); ++i)
    sums.push_back(kernel.scratch(tallest * shape.width * 4));
  emitRowTiles(kernel, rows.count, tallest, [&](Value first, Value height, Value number) {
    storeRowAddresses(kernel, rows, first, height, addresses);
    if (integers)
      prepareRows(kernel, shape, addresses, height, room);
    if (exchanges)
      exchangeColumns(kernel, shape, addresses, height, room);
    if (gathers) // what matrix registers load: rows equally far apart, which one row always is
      kernel.when(kernel.compare(arith::CmpIPredicate::sgt, height,
                                 kernel.integer(integers ? kernel.target.quantRows : 1)),
                  [&] {
                    gatherRows(kernel, element, rowBytes / bytesOf(element), addresses, height,
                               room);
                  });
    for (auto [panel, result] : llvm::zip(panels, sums)) {
      const TileOperands tile{addresses, height, number, panel, result};
      if (integers)
        callQuantizedProduct(kernel, shape, tile);
      else if (floats)
        callFloatProduct(kernel, rows.element, shape, tile);
      else if (stored)
        callStoredProduct(kernel, rows.element, shape, tile);
      else
        callPanelProduct(kernel, rows.element, shape, tile);
    }
    emitEpilogue(kernel, shape, sums, first, height, epilogue, factor);
  });
}

void moec::emitPanels(
    CpuKernelBuilder &kernel, Type element, int64_t depth, int64_t columns,
    ArrayRef<Value> matrices, Value begin, Value end,
    function_ref<void(ArrayRef<Value> panels, Value column, const PanelShape &shape)> body,
    lm::Layout layout) {
  const int64_t full = columns / kPanelColumns;
  const int64_t lastWidth = panelColumns(columns) - full * kPanelColumns;
  const int64_t bytes = layout == lm::Layout::Rows ? kPanelColumns * depth * bytesOf(element)
                                                   : panelBytes(element, kPanelColumns, depth);
  auto visit = [&](Value panel, int64_t width, int64_t existing) {
    SmallVector<Value> panels;
    for (Value matrix : matrices)
      panels.push_back(kernel.addressBytes(matrix, kernel.mul(panel, kernel.integer(bytes))));
    body(panels, kernel.mul(panel, kernel.integer(kPanelColumns)),
         {.element = element,
          .depth = depth,
          .width = width,
          .columns = existing,
          .layout = layout});
  };
  if (full > 0)
    kernel.loop(begin, kernel.min(end, kernel.integer(full)), 1,
                [&](Value panel) { visit(panel, kPanelColumns, kPanelColumns); });
  if (lastWidth > 0) {
    Value last = kernel.integer(full);
    Value inside = arith::AndIOp::create(kernel.builder, kernel.loc,
                                         kernel.compare(arith::CmpIPredicate::sle, begin, last),
                                         kernel.compare(arith::CmpIPredicate::sgt, end, last));
    kernel.when(inside, [&] { visit(last, lastWidth, columns % kPanelColumns); });
  }
}
