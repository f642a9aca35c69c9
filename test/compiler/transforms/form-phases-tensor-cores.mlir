// RUN: moe-opt %s --lm-form-phases=warps | FileCheck %s
// RUN: moe-opt %s --lm-form-phases=reference | FileCheck %s --check-prefix=PLAIN

// PLAIN-NOT: warps 4

lm.weight @bf16 : !lm.weight<300x40xf32> layers [] from [#lm.piece<pattern = "a", rows = 300, stored = f32>] packed <layout = rows, element = bf16, offset = 0>
lm.weight @fp8 : !lm.weight<300x40xf32> layers [] from [#lm.piece<pattern = "b", rows = 300, stored = f32>] packed <layout = rows, element = !lm.quantized<fp8>, offset = 0>
lm.weight @int4 : !lm.weight<300x40xf32> layers [] from [#lm.piece<pattern = "c", rows = 300, stored = f32>] packed <layout = rows, element = !lm.quantized<int4>, offset = 0>

// Tensor cores multiply bf16 with bf16: tiles have 128 columns of 8 rows, where there are no more, else of 64.
// CHECK-LABEL: func @floats(
// CHECK:         %[[FEW:.*]] = arith.cmpi ule
// CHECK:         scf.if %[[FEW]]
// CHECK:           lm.phase "linear" tiles({{.*}}) rows 8 panels 3 warps 4
// CHECK:         else
// CHECK:           lm.phase "linear" tiles({{.*}}) rows 64 panels 3 warps 4
func.func @floats(%x: memref<?x40xbf16>, %y: memref<?x300xf32>) {
  %w = lm.load_weight @bf16 : !lm.weight<300x40xf32>
  lm.linear ins(%x, %w : memref<?x40xbf16>, !lm.weight<300x40xf32>) outs(%y : memref<?x300xf32>)
  return
}

// And bf16 with codes that are floats.
// CHECK-LABEL: func @float_codes(
// CHECK:         lm.phase "linear" tiles({{.*}}) rows 64 panels 3 warps 4
func.func @float_codes(%x: memref<?x40xbf16>, %y: memref<?x300xf32>) {
  %w = lm.load_weight @fp8 : !lm.weight<300x40xf32>
  lm.linear ins(%x, %w : memref<?x40xbf16>, !lm.weight<300x40xf32>) outs(%y : memref<?x300xf32>)
  return
}

// And integers with codes.
// CHECK-LABEL: func @integer_codes(
// CHECK:         lm.phase "linear" tiles({{.*}}) rows 64 panels 3 warps 4
func.func @integer_codes(%x: memref<?x80xi8>, %y: memref<?x300xf32>) {
  %w = lm.load_weight @int4 : !lm.weight<300x40xf32>
  lm.linear ins(%x, %w : memref<?x80xi8>, !lm.weight<300x40xf32>) outs(%y : memref<?x300xf32>)
  return
}

// Rows of f32 they do not multiply with codes.
// CHECK-LABEL: func @wide(
// CHECK-NOT:     scf.if
// CHECK:         lm.phase "linear" tiles({{.*}}) rows 1 panels 75
func.func @wide(%x: memref<?x40xf32>, %y: memref<?x300xf32>) {
  %w = lm.load_weight @fp8 : !lm.weight<300x40xf32>
  lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<300x40xf32>) outs(%y : memref<?x300xf32>)
  return
}

// Nor where rows begin at multiples of four bytes, of which no whole copies can be made.
// CHECK-LABEL: func @narrow(
// CHECK-NOT:     scf.if
// CHECK:         lm.phase "linear" tiles({{.*}}) rows 1 panels 75
func.func @narrow(%x: memref<?x40xbf16, strided<[42, 1]>>, %y: memref<?x300xf32>) {
  %w = lm.load_weight @fp8 : !lm.weight<300x40xf32>
  lm.linear ins(%x, %w : memref<?x40xbf16, strided<[42, 1]>>, !lm.weight<300x40xf32>) outs(%y : memref<?x300xf32>)
  return
}

// A gate has a block for each row, where there are few, else for eight, of which the router is read once.
// CHECK-LABEL: func @gate(
// CHECK:         %[[FEW:.*]] = arith.cmpi ule, %{{.*}}, %c64
// CHECK:         scf.if %[[FEW]]
// CHECK:           lm.phase "gate" tiles({{.*}}) rows 1 panels 0 warps 16
// CHECK:         else
// CHECK:           %[[TILES:.*]] = arith.ceildivui %{{.*}}, %c8
// CHECK:           lm.phase "gate" tiles(%[[TILES]]) rows 8 panels 0 warps 8
lm.weight @router : !lm.weight<4x40xf32> layers [] from [#lm.piece<pattern = "r", rows = 4, stored = f32>]
func.func @gate(%x: memref<?x40xbf16>, %experts: memref<?x2xi32>, %weights: memref<?x2xf32>) {
  %r = lm.load_weight @router : !lm.weight<4x40xf32>
  moe.gate softmax ins(%x, %r : memref<?x40xbf16>, !lm.weight<4x40xf32>) outs(%experts, %weights : memref<?x2xi32>, memref<?x2xf32>)
  return
}
