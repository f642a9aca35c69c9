// What CPU kernels are made of besides: vectors of 16 lanes, shuffles, dot products, matrix
// registers.

#ifndef MOEC_COMPILER_TARGETS_CPU_CPUKERNELBUILDER_H
#define MOEC_COMPILER_TARGETS_CPU_CPUKERNELBUILDER_H

#include "compiler/targets/KernelBuilder.h"
#include "compiler/targets/cpu/CpuTarget.h"

namespace moec {

/// Lanes are those of a vector of kLanes. What it emits lowers by arith-to-llvm, scf-to-cf and
/// vector-to-llvm.
class CpuKernelBuilder final : public KernelBuilder {
public:
  CpuKernelBuilder(mlir::OpBuilder &builder, mlir::Location loc, const CpuTarget &target)
      : KernelBuilder(builder, loc), target(target) {}

  const CpuTarget &target;

  int64_t laneCount() const override { return kLanes; }
  mlir::Type matrix() { return mlir::LLVM::LLVMX86AMXType::get(builder.getContext()); }
  mlir::VectorType lanes(mlir::Type element, int64_t count = kLanes) {
    return mlir::VectorType::get({count}, element);
  }

  // Dot products.
  /// sum + the products of the pairs of bf16 in each lane; only where the level has the
  /// instruction.
  mlir::Value bf16Dot(mlir::Value sum, mlir::Value a, mlir::Value b);
  /// sum + the products of the pairs of i16 in each lane of i32.
  mlir::Value wordDot(mlir::Value sum, mlir::Value a, mlir::Value b);
  /// In each lane of i16 the sum of the products of two bytes, those of `a` without a sign; it has
  /// to fit. Only for levels with IntegerDot::Words.
  mlir::Value bytePairs(mlir::Value a, mlir::Value b);
  /// The bytes of `a` with the signs of those of `b` taken in, 0 where these are 0; -128 stays.
  /// Only for levels with IntegerDot::Words and registers of 32 bytes.
  mlir::Value takeSigns(mlir::Value a, mlir::Value b);
  /// sum + the products of the four bytes in each lane of i32, those of `a` without a sign; only
  /// where the level has the instruction.
  mlir::Value byteDot(mlir::Value sum, mlir::Value a, mlir::Value b);

  // Matrix registers, where the level has them. LLVM sets up a function's shapes once, and takes
  // two for the same only if they are made of the same values, so these had better be arguments of
  // the function: it runs out of registers where a constant is made anew for each block.
  struct MatrixShape {
    mlir::Value rows, bytes; ///< i16, at most 16 and 64
  };
  mlir::Value matrixZero(MatrixShape shape);
  /// Rows are `stride` bytes (i64) apart.
  mlir::Value matrixLoad(MatrixShape shape, mlir::Value from, mlir::Value stride);
  /// sums + a * b: of `a` each row has `depth` bytes (i16), of `b` each column, four to a row. With
  /// `integers` these are i8 in `a` and u8 in `b`, added to i32, else bf16, added to f32. The shape
  /// is that of the sums.
  mlir::Value matrixDot(MatrixShape shape, mlir::Value depth, mlir::Value sums, mlir::Value a,
                        mlir::Value b, bool integers);
  void matrixStore(MatrixShape shape, mlir::Value matrix, mlir::Value to, mlir::Value stride);

  // Tables.
  /// Bytes of `table`, of 16, that the bytes of `indices`, 0 to 15 each, name; vectors of 64.
  mlir::Value lookUp(llvm::ArrayRef<uint8_t> table, mlir::Value indices);
  /// Elements of `table`, of 16 f32, that the low four bits of each lane of i32 name; and, of 16
  /// bf16, those of each half of such a lane. Only for levels with registers of 64 bytes.
  mlir::Value pick(llvm::ArrayRef<float> table, mlir::Value indices);
  mlir::Value pickHalves(llvm::ArrayRef<float> table, mlir::Value indices);

  // Memory.
  mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t count) override;
  /// The same for vectors of `total` lanes.
  mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t count, int64_t total,
                        int64_t alignment = 0);
  void storeLanes(mlir::Value vector, mlir::Value to, int64_t count) override;
  /// Asks for the cache line at `at`, for reading, into the caches from number `cache` (1 to 3) on.
  /// Never faults.
  void prefetch(mlir::Value at, int64_t cache = 1);

  // Vectors.
  mlir::Value broadcast(mlir::Value scalar) override;
  mlir::Value broadcast(mlir::Value scalar, int64_t count);
  mlir::Value shuffle(mlir::Value a, mlir::Value b, llvm::ArrayRef<int64_t> lanes);
  mlir::Value fillLanes(mlir::Value values, int64_t count, double fill) override;
  mlir::Value listedLanes(llvm::ArrayRef<float> list, int64_t first, int64_t count) override;
  mlir::Value eachLane(int64_t count,
                       llvm::function_ref<mlir::Value(mlir::Value lane)> body) override;
  /// The first or the `second` of the two bf16 in each lane of i32 words, as f32.
  mlir::Value widenHalf(mlir::Value words, bool second);
  mlir::Value sumOfLanes(mlir::Value vector) override;
  mlir::Value maxOfLanes(mlir::Value vector) override;

  // Functions.
  using FunctionBody =
      llvm::function_ref<void(CpuKernelBuilder &kernel, mlir::ValueRange arguments)>;
  /// Calls the module's function `name`, which is not inlined. `body` emits it where the module has
  /// none yet, so the name must tell all that the body depends on.
  void call(llvm::StringRef name, mlir::ValueRange arguments, FunctionBody body);

private:
  mlir::Type typeOfLanes(mlir::Type element) override { return lanes(element); }
  bool roundsToBf16() const override { return target.hasBf16Dot(); }
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_CPUKERNELBUILDER_H
