// RUN: moe-opt %s --moec-outline-phases | FileCheck %s
// The body becomes a function over a range of tiles, which each thread calls with its share; a barrier is a call.
// CHECK:       func private @phase_0_work(%{{.*}}: !lm.batch, %[[A:.*]]: memref<4xf32>, %[[FIRST:.*]]: index, %[[LAST:.*]]: index)
// CHECK:         scf.for %{{.*}} = %[[FIRST]] to %[[LAST]]
// CHECK:           memref.store
// CHECK-LABEL: func @step(
// CHECK-SAME:    %{{.*}}: !lm.batch, %[[THREAD:.*]]: i64, %[[THREADS:.*]]: i64
// CHECK:         call @phase_0_work(
// CHECK:         llvm.call @moec_barrier_wait(%{{.*}}, %[[THREADS]])
func.func @step(%batch: !lm.batch) {
  %n = lm.token_count %batch
  %a = memref.alloc() : memref<4xf32>
  lm.phase "work" tiles(%n) rows 1 columns 0 {
  ^bb0(%tile: index):
    %one = arith.constant 1.0 : f32
    memref.store %one, %a[%tile] : memref<4xf32>
  }
  lm.barrier
  return
}
