// Short spellings for the operations that CPU kernels are made of: i64 arithmetic, addresses,
// 16-lane vectors.

#ifndef MOEC_COMPILER_TARGETS_CPU_KERNELBUILDER_H
#define MOEC_COMPILER_TARGETS_CPU_KERNELBUILDER_H

#include "compiler/targets/cpu/CpuTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace moec {

/// Emits at the insertion point of `builder`. Integers are i64, pointers !llvm.ptr, offsets in
/// elements unless a name says bytes. What it emits lowers by arith-to-llvm, scf-to-cf and
/// vector-to-llvm; it needs no libm.
class KernelBuilder {
public:
  KernelBuilder(mlir::OpBuilder &builder, mlir::Location loc, const CpuTarget &target)
      : builder(builder), loc(loc), target(target) {}

  mlir::OpBuilder &builder;
  const mlir::Location loc;
  const CpuTarget &target;

  // Types.
  mlir::Type i8() { return builder.getI8Type(); }
  mlir::Type i16() { return builder.getI16Type(); }
  mlir::Type i32() { return builder.getI32Type(); }
  mlir::Type i64() { return builder.getI64Type(); }
  mlir::Type f32() { return builder.getF32Type(); }
  mlir::Type bf16() { return builder.getBF16Type(); }
  mlir::Type pointer() { return mlir::LLVM::LLVMPointerType::get(builder.getContext()); }
  mlir::Type matrix() { return mlir::LLVM::LLVMX86AMXType::get(builder.getContext()); }
  mlir::VectorType lanes(mlir::Type element, int64_t count = kLanes) {
    return mlir::VectorType::get({count}, element);
  }

  // Constants; of a vector type they are the same in every lane.
  mlir::Value integer(int64_t value);
  mlir::Value integer(mlir::Type type, int64_t value);
  mlir::Value number(mlir::Type type, double value);

  // Arithmetic of equal types.
  mlir::Value add(mlir::Value a, mlir::Value b); ///< Integers or floats.
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b); ///< Floats; integers as unsigned.
  mlir::Value rem(mlir::Value a, mlir::Value b); ///< Integers, as unsigned.
  mlir::Value min(mlir::Value a,
                  mlir::Value b); ///< Integers, as signed; floats: `b` where unordered.
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value fma(mlir::Value a, mlir::Value b, mlir::Value c); ///< a * b + c, rounded once.
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

  mlir::Value bitcast(mlir::Type type, mlir::Value value);
  /// Bytes of `table`, of 16, that the bytes of `indices`, 0 to 15 each, name; vectors of 64.
  mlir::Value lookUp(llvm::ArrayRef<uint8_t> table, mlir::Value indices);
  /// Elements of `table`, of 16 f32, that the low four bits of each lane of i32 name; and, of 16
  /// bf16, those of each half of such a lane. Only for levels with registers of 64 bytes.
  mlir::Value pick(llvm::ArrayRef<float> table, mlir::Value indices);
  mlir::Value pickHalves(llvm::ArrayRef<float> table, mlir::Value indices);
  mlir::Value bitAnd(mlir::Value a, mlir::Value b);
  mlir::Value bitOr(mlir::Value a, mlir::Value b);
  mlir::Value shiftLeft(mlir::Value value, int64_t bits);
  mlir::Value shiftRight(mlir::Value value, int64_t bits); ///< Zeros come in.
  mlir::Value compare(mlir::arith::CmpIPredicate how, mlir::Value a, mlir::Value b); ///< Integers.
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);

  // Memory. Addresses are multiples of an element's size, but where `alignment` says otherwise.
  mlir::Value address(mlir::Value base, mlir::Type element, mlir::Value offset);
  mlir::Value address(mlir::Value base, int64_t bytes);
  mlir::Value addressBytes(mlir::Value base, mlir::Value bytes);
  mlir::Value load(mlir::Type type, mlir::Value from, int64_t alignment = 0);
  void store(mlir::Value value, mlir::Value to);
  /// Loads the first `count` of `total` elements; the other lanes are zero and not touched in
  /// memory.
  mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t count, int64_t total = kLanes,
                        int64_t alignment = 0);
  /// Stores the first `count` lanes of a vector of kLanes.
  void storeLanes(mlir::Value vector, mlir::Value to, int64_t count);
  /// Asks for the cache line at `at`, for reading, into the caches from number `cache` (1 to 3) on.
  /// Never faults.
  void prefetch(mlir::Value at, int64_t cache = 1);
  /// Room on the stack, at a multiple of 64, taken once per call of the function around.
  mlir::Value scratch(int64_t bytes);

  // Vectors.
  mlir::Value broadcast(mlir::Value scalar, int64_t count = kLanes);
  mlir::Value shuffle(mlir::Value a, mlir::Value b, llvm::ArrayRef<int64_t> lanes);
  /// f32 from bf16 or f16, scalars or vectors; f32 is returned as it is.
  mlir::Value widen(mlir::Value value);
  /// The first or the `second` of the two bf16 in each lane of i32 words, as f32.
  mlir::Value widenHalf(mlir::Value words, bool second);
  /// f32 to `element`: itself, or bf16 or f16 rounded to nearest even. (Where the level has a bf16
  /// instruction, it takes f32 denormals for zero; others round them.)
  mlir::Value round(mlir::Type element, mlir::Value value);
  /// Sum or largest of the lanes, in the order of a halving tree.
  mlir::Value sumOfLanes(mlir::Value vector);
  mlir::Value maxOfLanes(mlir::Value vector);

  // Control flow. `body` emits at the same builder, inside.
  using LoopBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value index,
                                                                     mlir::ValueRange carried)>;
  llvm::SmallVector<mlir::Value> loop(mlir::Value begin, mlir::Value end, int64_t step,
                                      mlir::ValueRange carried, LoopBody body);
  void loop(mlir::Value begin, mlir::Value end, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// body(column, lanes) over `columns` columns: whole vectors in a loop, then what is left.
  void forColumns(int64_t columns,
                  llvm::function_ref<void(mlir::Value column, int64_t lanes)> body);
  /// The same, carrying vectors from one column to the next.
  llvm::SmallVector<mlir::Value>
  forColumns(int64_t columns, mlir::ValueRange carried,
             llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value column, int64_t lanes,
                                                               mlir::ValueRange carried)>
                 body);
  void when(mlir::Value condition, llvm::function_ref<void()> body);
  /// Runs body(v) for the v in [first, last] that `value` equals; nothing where it is outside.
  void dispatch(mlir::Value value, int64_t first, int64_t last,
                llvm::function_ref<void(int64_t)> body);

  using FunctionBody = llvm::function_ref<void(KernelBuilder &kernel, mlir::ValueRange arguments)>;
  /// Calls the module's function `name`, which is not inlined. `body` emits it where the module has
  /// none yet, so the name must tell all that the body depends on.
  void call(llvm::StringRef name, mlir::ValueRange arguments, FunctionBody body);
};

inline constexpr int64_t kPointerBytes = 8;

/// Bytes of an element that a kernel may read.
inline int64_t bytesOf(mlir::Type element) { return element.getIntOrFloatBitWidth() / 8; }

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CPU_KERNELBUILDER_H
