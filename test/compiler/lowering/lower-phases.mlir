// RUN: moe-opt %s --moec-lower-phases=cpu=avx2 | FileCheck %s
// REQUIRES: x86_64
// Products of the same types call one function, whatever their sizes, and it is vector code.
// CHECK:         func.func private @product_f32_bf16({{.*}} attributes {passthrough = ["noinline"]}
// CHECK:         llvm.intr.fma({{.*}} -> vector<16xf32>
// CHECK-NOT:     @product_f32_bf16(%{{.*}}: !llvm.ptr
lm.weight @a : !lm.weight<96x64xbf16> layers [] from [#lm.piece<pattern = "a", rows = 96, stored = bf16>] packed <layout = panels, element = bf16, offset = 0>
lm.weight @b : !lm.weight<20x7xbf16> layers [] from [#lm.piece<pattern = "b", rows = 20, stored = bf16>] packed <layout = panels, element = bf16, offset = 12288>
// CHECK-LABEL: func @packed(
// CHECK:         lm.phase "linear"
// CHECK-NOT:     lm.linear
// CHECK:         func.call @product_f32_bf16(
// CHECK:         lm.phase "linear"
// CHECK-NOT:     lm.linear
// CHECK:         func.call @product_f32_bf16(
func.func @packed(%batch: !lm.batch, %n: index, %x: memref<4x64xf32>, %y: memref<4x96xf32>, %u: memref<4x7xf32>, %v: memref<4x20xf32>) {
  %a = lm.load_weight @a : <96x64xbf16>
  %b = lm.load_weight @b : <20x7xbf16>
  lm.phase "linear" tiles(%n) rows 128 panels 2 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %a : memref<4x64xf32>, !lm.weight<96x64xbf16>) outs(%y : memref<4x96xf32>)
  }
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    lm.linear ins(%u, %b : memref<4x7xf32>, !lm.weight<20x7xbf16>) outs(%v : memref<4x20xf32>)
  }
  return
}

// Weights as stored have a function for each size of a panel.
// CHECK-LABEL: func @stored(
// CHECK:         func.call @stored_product_f32_f32_16x20(
func.func @stored(%batch: !lm.batch, %n: index, %x: memref<4x16xf32>, %w: memref<20x16xf32>, %y: memref<4x20xf32>) {
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %w : memref<4x16xf32>, memref<20x16xf32>) outs(%y : memref<4x20xf32>)
  }
  return
}

// In a plain phase it becomes loops of single multiplications.
// CHECK-LABEL: func @plain(
// CHECK-NOT:     vector<16xf32>
// CHECK:         llvm.intr.fma({{.*}} -> f32
// CHECK-NOT:     vector<16xf32>
func.func @plain(%batch: !lm.batch, %n: index, %x: memref<4x16xf32>, %w: memref<20x16xf32>, %y: memref<4x20xf32>) {
  lm.phase "linear" plain tiles(%n) rows 0 panels 0 {
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
  lm.phase "pick_shared" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    moe.pick_shared first_expert 8 ins(%e, %w : memref<4x2xi32>, memref<4x2xf32>) outs(%a, %b : memref<4x4xi32>, memref<4x4xf32>)
  }
  return
}

// Sinks that are mapped as they are stored are widened.
lm.cache @cache layers [0] heads 1 size 16 block 32 : f32
lm.weight @sinks : !lm.weight<2xbf16> layers [] from [#lm.piece<pattern = "s", rows = 2, stored = bf16>] packed <layout = rows, element = bf16, offset = 0, mapped = true>
// CHECK-LABEL: func @mapped_sinks(
// CHECK:         lm.phase "fast"
// CHECK:         %[[FAST:.+]] = llvm.load %{{.+}} : !llvm.ptr -> bf16
// CHECK:         arith.extf %[[FAST]] : bf16 to f32
// CHECK:         lm.phase "plain"
// CHECK:         %[[PLAIN:.+]] = llvm.load %{{.+}} : !llvm.ptr -> bf16
// CHECK:         arith.extf %[[PLAIN]] : bf16 to f32
func.func @mapped_sinks(%batch: !lm.batch, %layer: index, %n: index, %q: memref<4x32xf32>) {
  %sinks = lm.load_weight @sinks : <2xbf16>
  lm.phase "fast" tiles(%n) rows 0 panels 0 {
  ^bb0(%tile: index):
    lm.attention @cache[%layer] of %batch scale 1.0 ins(%q : memref<4x32xf32>) sinks(%sinks : !lm.weight<2xbf16>) outs(%q : memref<4x32xf32>)
  }
  lm.phase "plain" plain tiles(%n) rows 0 panels 0 {
  ^bb0(%tile: index):
    lm.attention @cache[%layer] of %batch scale 1.0 ins(%q : memref<4x32xf32>) sinks(%sinks : !lm.weight<2xbf16>) outs(%q : memref<4x32xf32>)
  }
  return
}
