// RUN: moe-opt %s --moec-lower-phases=cpu=avx2 | FileCheck %s
// RUN: moe-opt %s --moec-lower-phases=reference | FileCheck %s --check-prefix=PLAIN
// REQUIRES: x86_64
// A product becomes the kernel's vector code, or plain loops of single multiplications.
// CHECK-LABEL: func @step(
// CHECK:         lm.phase "linear"
// CHECK-NOT:     lm.linear
// CHECK:         llvm.intr.fma({{.*}} -> vector<16xf32>
// PLAIN-LABEL: func @step(
// PLAIN:         llvm.intr.fma({{.*}} -> f32
func.func @step(%batch: !lm.batch, %n: index, %x: memref<4x16xf32>, %w: memref<20x16xf32>, %y: memref<4x20xf32>) {
  lm.phase "linear" tiles(%n) rows 128 columns 48 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %w : memref<4x16xf32>, memref<20x16xf32>) outs(%y : memref<4x20xf32>)
  }
  return
}

// Shared experts follow the picks; where there is no gate, their weight is one.
// CHECK-LABEL: func @shared(
// CHECK:         lm.phase "pick_shared"
// CHECK-NOT:     moe.pick_shared
// CHECK-DAG:     %[[ONE:.+]] = arith.constant 1.000000e+00 : f32
// CHECK-DAG:     %[[ID:.+]] = arith.constant 9 : i64
// CHECK:         %[[NARROW:.+]] = arith.trunci %[[ID]] : i64 to i32
// CHECK:         llvm.store %[[NARROW]]
// CHECK:         llvm.store %[[ONE]]
func.func @shared(%batch: !lm.batch, %n: index, %e: memref<4x2xi32>, %w: memref<4x2xf32>, %a: memref<4x4xi32>, %b: memref<4x4xf32>) {
  lm.phase "pick_shared" tiles(%n) rows 1 columns 0 {
  ^bb0(%tile: index):
    moe.pick_shared first_expert 8 ins(%e, %w : memref<4x2xi32>, memref<4x2xf32>) outs(%a, %b : memref<4x4xi32>, memref<4x4xf32>)
  }
  return
}
