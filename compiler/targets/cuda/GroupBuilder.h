// What kernels are made of whose tiles are for a warp each, or for a block of some: a lane is a
// thread.

#ifndef MOEC_COMPILER_TARGETS_CUDA_GROUPBUILDER_H
#define MOEC_COMPILER_TARGETS_CUDA_GROUPBUILDER_H

#include "compiler/targets/KernelBuilder.h"
#include "compiler/targets/cuda/CudaTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <algorithm>

namespace moec {

/// All threads of a group, which is a warp or a whole block, are at work in a tile. What the tile
/// has one of, each of them computes; its lanes are a value in each thread. What is stored is seen
/// by the whole group once the store, or the forColumns() or forEach() around it, is over, and
/// replaces what the group had read before.
///
/// Room taken by scratch() is the thread's until moec-outline-kernels makes it the group's part of
/// shared memory.
class GroupBuilder final : public KernelBuilder {
public:
  /// `warps` of a block that has no more; 0: one of a block that may have others.
  GroupBuilder(mlir::OpBuilder &builder, mlir::Location loc, int64_t warps)
      : KernelBuilder(builder, loc), warps(warps) {}

  int64_t laneCount() const override { return std::max<int64_t>(warps, 1) * kWarpLanes; }
  bool runsSeveral() const override { return true; }
  void store(mlir::Value value, mlir::Value to) override;
  mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t count) override;
  void storeLanes(mlir::Value values, mlir::Value to, int64_t count) override;
  mlir::Value broadcast(mlir::Value scalar) override { return scalar; }
  mlir::Value fillLanes(mlir::Value values, int64_t count, double fill) override;
  mlir::Value listedLanes(llvm::ArrayRef<float> list, int64_t first, int64_t count) override;
  mlir::Value eachLane(int64_t count,
                       llvm::function_ref<mlir::Value(mlir::Value lane)> body) override;
  mlir::Value sumOfLanes(mlir::Value values) override;
  mlir::Value maxOfLanes(mlir::Value values) override;
  void forEach(int64_t count, llvm::function_ref<void(mlir::Value index)> body) override;

private:
  mlir::Type typeOfLanes(mlir::Type element) override { return element; }
  void beginColumns() override;
  void endColumns() override;

  mlir::Value lane(); ///< i64
  mlir::Value isBelow(int64_t count);
  mlir::Value whereBelow(int64_t count, mlir::Type type, llvm::function_ref<mlir::Value()> body);
  mlir::Value shuffle(mlir::Value values, int64_t distance, mlir::NVVM::ShflKind kind);
  mlir::Value foldLanes(mlir::Value values,
                        llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> join);
  mlir::Operation *newSync();
  void sync();

  const int64_t warps;
  int64_t depth = 0;                  ///< of forColumns() and forEach() around the insertion point
  bool isStored = false;              ///< whether they store
  bool isEach = false;                ///< whether it is forEach()
  mlir::Operation *opening = nullptr; ///< in front of the outermost
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_GROUPBUILDER_H
