// Short spellings for the operations that kernels of every target are made of: i64 arithmetic,
// addresses, lanes of a row.

#ifndef MOEC_COMPILER_TARGETS_KERNELBUILDER_H
#define MOEC_COMPILER_TARGETS_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace moec {

/// Emits the code of one tile at the insertion point of `builder`. Integers are i64, pointers
/// !llvm.ptr, offsets in elements unless a name says bytes. What it emits needs no libm.
///
/// A value is either the tile's own, such as an address, a count or a sum, or one for each of the
/// target's lanes: a vector on a CPU; on a GPU what each thread of a warp has for itself.
/// Arithmetic is the same for both. Whether to branch or how often to loop is up to values of the
/// tile.
class KernelBuilder {
public:
  KernelBuilder(mlir::OpBuilder &builder, mlir::Location loc) : builder(builder), loc(loc) {}
  virtual ~KernelBuilder() = default;
  KernelBuilder(const KernelBuilder &) = delete;
  KernelBuilder &operator=(const KernelBuilder &) = delete;

  mlir::OpBuilder &builder;
  const mlir::Location loc;

  // Types.
  mlir::Type i8() { return builder.getI8Type(); }
  mlir::Type i16() { return builder.getI16Type(); }
  mlir::Type i32() { return builder.getI32Type(); }
  mlir::Type i64() { return builder.getI64Type(); }
  mlir::Type f32() { return builder.getF32Type(); }
  mlir::Type bf16() { return builder.getBF16Type(); }
  mlir::Type pointer() { return mlir::LLVM::LLVMPointerType::get(builder.getContext()); }
  virtual int64_t laneCount() const = 0;
  /// Whether what forEach() does runs at once: then much work that needs no order beats little that
  /// does.
  virtual bool runsSeveral() const { return false; }
  /// One `element` for each lane.
  mlir::Type lanes(mlir::Type element) { return typeOfLanes(element); }

  // Constants; of lanes they are the same in each.
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
  mlir::Value bitcast(mlir::Type type, mlir::Value value);
  mlir::Value bitAnd(mlir::Value a, mlir::Value b);
  mlir::Value bitOr(mlir::Value a, mlir::Value b);
  mlir::Value shiftLeft(mlir::Value value, int64_t bits);
  mlir::Value shiftRight(mlir::Value value, int64_t bits); ///< Zeros come in.
  mlir::Value compare(mlir::arith::CmpIPredicate how, mlir::Value a, mlir::Value b); ///< Integers.
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// f32 from bf16 or f16; f32 is returned as it is.
  mlir::Value widen(mlir::Value value);
  /// f32 to `element`: itself, or bf16 or f16 rounded to nearest even. (A CPU level with a bf16
  /// instruction takes f32 denormals for zero; others round them.)
  mlir::Value round(mlir::Type element, mlir::Value value);

  // Memory. Addresses are multiples of an element's size, but where `alignment` says otherwise.
  mlir::Value address(mlir::Value base, mlir::Type element, mlir::Value offset);
  mlir::Value address(mlir::Value base, int64_t bytes);
  mlir::Value addressBytes(mlir::Value base, mlir::Value bytes);
  mlir::Value load(mlir::Type type, mlir::Value from, int64_t alignment = 0);
  /// Stores a value of the tile.
  virtual void store(mlir::Value value, mlir::Value to);
  /// Lane i is element i at `from`, for the first `count`; the others are zero and not touched in
  /// memory.
  virtual mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t count) = 0;
  /// Stores the first `count` lanes.
  virtual void storeLanes(mlir::Value values, mlir::Value to, int64_t count) = 0;
  /// Room of the tile, at a multiple of 64, taken once per call of the function around.
  mlir::Value scratch(int64_t bytes);
  /// Where a constant lies that the module holds once: an array as `entries` has them.
  mlir::Value constantTable(mlir::DenseElementsAttr entries);

  // Lanes.
  virtual mlir::Value broadcast(mlir::Value scalar) = 0;
  /// `values` with `fill` in all but the first `count` lanes.
  virtual mlir::Value fillLanes(mlir::Value values, int64_t count, double fill) = 0;
  /// Elements [first, first + count) of a constant list, 0 in lanes behind them.
  virtual mlir::Value listedLanes(llvm::ArrayRef<float> list, int64_t first, int64_t count) = 0;
  /// What `body`, which stores nothing, makes of the numbers (i64) of the first `count` lanes, of
  /// f32; 0 in the others.
  virtual mlir::Value eachLane(int64_t count,
                               llvm::function_ref<mlir::Value(mlir::Value lane)> body) = 0;
  /// Sum or largest of the lanes, in the order of a halving tree.
  virtual mlir::Value sumOfLanes(mlir::Value values) = 0;
  virtual mlir::Value maxOfLanes(mlir::Value values) = 0;

  // Control flow. `body` emits at the same builder, inside.
  using LoopBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value index,
                                                                     mlir::ValueRange carried)>;
  llvm::SmallVector<mlir::Value> loop(mlir::Value begin, mlir::Value end, int64_t step,
                                      mlir::ValueRange carried, LoopBody body);
  void loop(mlir::Value begin, mlir::Value end, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// body(column, lanes) over `columns` columns: as many as there are lanes at a time, then what is
  /// left. No column reads what is written of another.
  void forColumns(int64_t columns,
                  llvm::function_ref<void(mlir::Value column, int64_t lanes)> body);
  /// The same, carrying lanes from one column to the next.
  llvm::SmallVector<mlir::Value>
  forColumns(int64_t columns, mlir::ValueRange carried,
             llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value column, int64_t lanes,
                                                               mlir::ValueRange carried)>
                 body);
  /// body(i) for i below `count`, in any order, several at once: none reads what another writes,
  /// and none has lanes.
  virtual void forEach(int64_t count, llvm::function_ref<void(mlir::Value index)> body);
  void when(mlir::Value condition, llvm::function_ref<void()> body);
  /// Runs body(v) for the v in [first, last] that `value` equals; nothing where it is outside.
  void dispatch(mlir::Value value, int64_t first, int64_t last,
                llvm::function_ref<void(int64_t)> body);

protected:
  virtual mlir::Type typeOfLanes(mlir::Type element) = 0;
  /// Whether the target rounds f32 to bf16 by an instruction.
  virtual bool roundsToBf16() const { return false; }
  /// Before and after what forColumns() emits.
  virtual void beginColumns() {}
  virtual void endColumns() {}
};

inline constexpr int64_t kPointerBytes = 8;

/// Bytes of an element that a kernel may read.
inline int64_t bytesOf(mlir::Type element) { return element.getIntOrFloatBitWidth() / 8; }

/// What an access of `type` may rely on.
int64_t alignmentOf(mlir::Type type);

/// `element`, or a vector of it where `type` is one.
mlir::Type withElement(mlir::Type type, mlir::Type element);

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_KERNELBUILDER_H
