// RUN: moe-opt %s --moec-outline-phases | FileCheck %s
// A phase that is cut into panels tells the runtime how many tiles in a row multiply with one weight.
// CHECK-LABEL: func @step(
// CHECK-SAME:    %{{.*}}: !lm.batch, %[[THREAD:.*]]: i64)
// CHECK:         %[[TILES:.*]] = arith.index_cast %{{.*}} : index to i64
// CHECK:         %[[LENGTH:.*]] = arith.constant 3 : i64
// CHECK:         llvm.call @moec_tiles_claim(%{{.*}}, %[[THREAD]], %[[TILES]], %[[LENGTH]], %{{[^)]*}})
func.func @step(%batch: !lm.batch) {
  %n = lm.token_count %batch
  %three = arith.constant 3 : index
  %tiles = arith.muli %n, %three : index
  %a = memref.alloc() : memref<4xf32>
  lm.phase "work" tiles(%tiles) rows 1 panels 3 {
  ^bb0(%tile: index):
    %one = arith.constant 1.0 : f32
    memref.store %one, %a[%tile] : memref<4xf32>
  }
  lm.barrier
  return
}
