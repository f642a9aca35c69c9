// The functions that products call, made once for each pair of types: a few rows of activations by
// a panel of weights.

#ifndef MOEC_COMPILER_TARGETS_CPU_PRODUCTFUNCTIONS_H
#define MOEC_COMPILER_TARGETS_CPU_PRODUCTFUNCTIONS_H

#include "compiler/targets/cpu/MatmulKernel.h"

namespace moec {

/// What every product function takes.
struct TileOperands {
  mlir::Value rows;   ///< !llvm.ptr to [height] x !llvm.ptr: where the activations of a row begin
  mlir::Value height; ///< i64, 1 to the level's tallest tile for the layout
  mlir::Value number; ///< i64, how many tiles the panel was multiplied with before
  mlir::Value panel;  ///< !llvm.ptr
  mlir::Value sums;   ///< !llvm.ptr to [height][width] x f32, written

  static constexpr size_t kCount = 5;
  llvm::SmallVector<mlir::Value> asArguments() const;
  static TileOperands fromArguments(mlir::ValueRange arguments);

  /// The entries of `rows`, of which there are `count`.
  llvm::SmallVector<mlir::Value> loadRows(CpuKernelBuilder &kernel, int64_t count) const;
};

/// Cuts a product function's rows and the `vectors` (i64) of 16 columns of its panel into register
/// tiles of at most `tallest` rows and about `lanes` sums: pass(rows, vectors taken, the first).
void emitRegisterTiles(
    CpuKernelBuilder &kernel, const TileOperands &tile, mlir::Value vectors, int64_t tallest,
    int64_t lanes,
    llvm::function_ref<void(llvm::ArrayRef<mlir::Value> rows, int64_t taken, mlir::Value from)>
        pass);

/// Vector number `index` of such a tile's sums, [row][vector taken], as a vector of
/// TileOperands::sums.
mlir::Value sumVector(CpuKernelBuilder &kernel, mlir::Value vectors, size_t index, int64_t taken,
                      mlir::Value from);

/// Whether a register tile of `rows` rows, where `tallest` has the most, waits for memory: the
/// hardware alone reads ahead too late for few rows; many multiply for so long that it does.
bool waitsForMemory(size_t rows, int64_t tallest);

/// Whether a register tile of `count` vectors of sums over floats reads both halves of K at once,
/// as two streams: where the level has registers for the sums of both.
bool readsHalvesTogether(const CpuTarget &target, size_t count);

/// Asks for the `bytes` that lie so far behind `at`.
void askAhead(CpuKernelBuilder &kernel, const ReadAhead &ahead, mlir::Value at, int64_t bytes);

/// `stem` with the types of the operands: product_bf16_f32.
std::string productName(llvm::StringRef stem, mlir::Type activation, mlir::Type weight);

/// Whether matrix registers multiply these activations with such a panel; the rows that its
/// function is given are then equally far apart.
bool multipliesMatrices(const CpuTarget &target, mlir::Type activation, const PanelShape &shape);

/// Multiplies with a packed panel. Few rows ask the caches for what they need next; many, where no
/// matrix registers multiply, for the panel that follows in memory.
void callPanelProduct(CpuKernelBuilder &kernel, mlir::Type activation, const PanelShape &shape,
                      const TileOperands &tile);

/// Multiplies rows of floats with a panel of fp8, or of mxfp4 with K a multiple of 32.
void callFloatProduct(CpuKernelBuilder &kernel, mlir::Type activation, const PanelShape &shape,
                      const TileOperands &tile);

/// Whether that takes rows as exchangeColumns gives them: with the middle two of every four columns
/// exchanged.
bool exchangesColumns(CpuKernelBuilder &kernel, mlir::Type activation, const PanelShape &shape);

/// Copies `height` rows of bf16, whose addresses are at `rows`, to `room` with columns exchanged
/// so, and writes where they are over those addresses.
void exchangeColumns(CpuKernelBuilder &kernel, const PanelShape &shape, mlir::Value rows,
                     mlir::Value height, mlir::Value room);

/// Multiplies integers with a panel of quantised weights; the rows are such as prepareRows gives.
void callQuantizedProduct(CpuKernelBuilder &kernel, const PanelShape &shape,
                          const TileOperands &tile);

/// Bytes of a row of activations as the product with a quantised panel reads it.
int64_t preparedRowBytes(const CpuTarget &target, const PanelShape &shape);

/// Makes of `height` quantised rows, whose addresses are at `rows`, such as the level's instruction
/// takes, and writes where they are over those addresses. `room` holds that many prepared rows.
void prepareRows(CpuKernelBuilder &kernel, const PanelShape &shape, mlir::Value rows,
                 mlir::Value height, mlir::Value room);

/// Multiplies with a panel as stored, lm::Layout::Rows.
void callStoredProduct(CpuKernelBuilder &kernel, mlir::Type activation, const PanelShape &shape,
                       const TileOperands &tile);

/// Covers rows [0, count) by tiles of 1 to `tallest` rows: body(first row, height, tile's number).
void emitRowTiles(
    CpuKernelBuilder &kernel, mlir::Value count, int64_t tallest,
    llvm::function_ref<void(mlir::Value first, mlir::Value height, mlir::Value number)> body);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_PRODUCTFUNCTIONS_H
