// RUN: moe-opt %s --split-input-file --moec-lower-phases=cpu=avx2 --verify-diagnostics
// Rows in blocks of 32 do not fit a weight whose groups are whole rows.
lm.weight @w : !lm.weight<8x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, stored = f32>] packed <layout = panels, element = !lm.quantized<int8_channel>, offset = 0>
func.func @blocks(%batch: !lm.batch, %n: index, %x: memref<4x80xi8>, %y: memref<4x8xf32>) {
  %w = lm.load_weight @w : !lm.weight<8x40xf32>
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    // expected-error @below {{multiplies rows of 80 'i8' with a weight of '!lm.quantized<int8_channel>'}}
    lm.linear ins(%x, %w : memref<4x80xi8>, !lm.weight<8x40xf32>) outs(%y : memref<4x8xf32>)
  }
  return
}

// -----

// Floats meet floats of 4 bits in whole groups only.
lm.weight @w : !lm.weight<8x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, stored = f32>] packed <layout = panels, element = !lm.quantized<mxfp4>, offset = 0>
func.func @groups(%batch: !lm.batch, %n: index, %x: memref<4x40xf32>, %y: memref<4x8xf32>) {
  %w = lm.load_weight @w : !lm.weight<8x40xf32>
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    // expected-error @below {{multiplies rows of 40 'f32' with a weight of '!lm.quantized<mxfp4>'}}
    lm.linear ins(%x, %w : memref<4x40xf32>, !lm.weight<8x40xf32>) outs(%y : memref<4x8xf32>)
  }
  return
}

// -----

// Integers do not meet floats of 8 bits.
lm.weight @w : !lm.weight<8x32xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, stored = f32>] packed <layout = panels, element = !lm.quantized<fp8>, offset = 0>
func.func @integers(%batch: !lm.batch, %n: index, %x: memref<4x40xi8>, %y: memref<4x8xf32>) {
  %w = lm.load_weight @w : !lm.weight<8x32xf32>
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    // expected-error @below {{multiplies rows of 40 'i8' with a weight of '!lm.quantized<fp8>'}}
    lm.linear ins(%x, %w : memref<4x40xi8>, !lm.weight<8x32xf32>) outs(%y : memref<4x8xf32>)
  }
  return
}

// -----

// Floats do not meet integers, neither head by head nor in a router.
lm.weight @w : !lm.weight<2x8x32xf32> heads layers [] from [#lm.piece<pattern = "w.{e}", rows = 8, stored = f32>] packed <layout = panels, element = !lm.quantized<int8>, offset = 0>
func.func @heads(%batch: !lm.batch, %n: index, %x: memref<4x64xf32>, %y: memref<4x16xf32>) {
  %w = lm.load_weight @w : !lm.weight<2x8x32xf32>
  lm.phase "head_linear" tiles(%n) rows 128 panels 2 {
  ^bb0(%tile: index):
    // expected-error @below {{multiplies rows of 64 'f32' with a weight of '!lm.quantized<int8>'}}
    lm.head_linear ins(%x, %w : memref<4x64xf32>, !lm.weight<2x8x32xf32>) outs(%y : memref<4x16xf32>)
  }
  return
}

// -----

lm.weight @w : !lm.weight<8x32xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, stored = f32>] packed <layout = panels, element = !lm.quantized<int8>, offset = 0>
func.func @router(%batch: !lm.batch, %n: index, %x: memref<4x32xf32>, %e: memref<4x2xi32>, %s: memref<4x2xf32>) {
  %w = lm.load_weight @w : !lm.weight<8x32xf32>
  lm.phase "gate" tiles(%n) rows 128 panels 0 {
  ^bb0(%tile: index):
    // expected-error @below {{multiplies rows of 32 'f32' with a weight of '!lm.quantized<int8>'}}
    moe.gate softmax ins(%x, %w : memref<4x32xf32>, !lm.weight<8x32xf32>) outs(%e, %s : memref<4x2xi32>, memref<4x2xf32>)
  }
  return
}
