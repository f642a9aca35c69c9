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
