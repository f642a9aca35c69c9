// RUN: moe-opt %s --moec-lower-phases=cpu=avx2 --verify-diagnostics
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
