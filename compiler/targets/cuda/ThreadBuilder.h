// What kernels are made of whose tiles are for all threads of a block: each has one lane, itself.

#ifndef MOEC_COMPILER_TARGETS_CUDA_THREADBUILDER_H
#define MOEC_COMPILER_TARGETS_CUDA_THREADBUILDER_H

#include "compiler/targets/KernelBuilder.h"

namespace moec {

/// Every value is the thread's own, also what a branch or a loop is up to, and so are stores. That
/// others see them is up to barriers of the block, at which all its threads have to meet.
class ThreadBuilder final : public KernelBuilder {
public:
  using KernelBuilder::KernelBuilder;

  /// The thread's number in its block (i64), its warp's, and its own in that.
  mlir::Value thread();
  mlir::Value warp();
  mlir::Value lane();
  /// For each lane of the warp a bit (i32) that says whether `condition` (i1) is so there. All
  /// come.
  mlir::Value votes(mlir::Value condition);
  /// How many bits of an i32 are set, in i64.
  mlir::Value bitCount(mlir::Value bits);
  /// Until all threads of the block are here, and what they stored is seen.
  void barrier();

  int64_t laneCount() const override { return 1; }
  mlir::Value loadLanes(mlir::Type element, mlir::Value from, int64_t) override {
    return load(element, from);
  }
  void storeLanes(mlir::Value values, mlir::Value to, int64_t) override { store(values, to); }
  mlir::Value broadcast(mlir::Value scalar) override { return scalar; }
  mlir::Value fillLanes(mlir::Value values, int64_t, double) override { return values; }
  mlir::Value listedLanes(llvm::ArrayRef<float> list, int64_t first, int64_t) override {
    return number(f32(), list[static_cast<size_t>(first)]);
  }
  mlir::Value eachLane(int64_t, llvm::function_ref<mlir::Value(mlir::Value)> body) override {
    return body(integer(0));
  }
  mlir::Value sumOfLanes(mlir::Value values) override { return values; }
  mlir::Value maxOfLanes(mlir::Value values) override { return values; }

private:
  mlir::Type typeOfLanes(mlir::Type element) override { return element; }
};

} // namespace moec

#endif // MOEC_COMPILER_TARGETS_CUDA_THREADBUILDER_H
