// RUN: moe-opt %s --split-input-file --moec-lower-phases=cpu=avx2 --verify-diagnostics
// What attention keeps of a block lies on the stack.
lm.cache @wide layers [0] heads 1 size 32768 block 32 : f32
func.func @stack(%batch: !lm.batch, %layer: index, %n: index, %q: memref<4x1048576xf32>) {
  // expected-error @below {{"attention" takes 33580544 bytes of a thread's stack, more than the 5242880 that it may}}
  lm.phase "attention" tiles(%n) rows 0 panels 0 {
  ^bb0(%tile: index):
    lm.attention @wide[%layer] of %batch scale 1.0 ins(%q : memref<4x1048576xf32>) outs(%q : memref<4x1048576xf32>)
  }
  return
}

// -----

// The scores of all positions do too, of as many as there may be.
lm.cache @index layers [0] heads 1 size 32 values 32 latent block 32 : f32
func.func @most_positions(%batch: !lm.batch, %layer: index, %n: index, %q: memref<4x128xf32>, %w: memref<4x4xf32>, %c: memref<4x9xi32>) {
  lm.phase "choose_keys" tiles(%n) rows 1 panels 0 {
  ^bb0(%tile: index):
    lm.choose_keys @index[%layer] of %batch scale 1.0 context 1048576 ins(%q, %w : memref<4x128xf32>, memref<4x4xf32>) outs(%c : memref<4x9xi32>)
  }
  return
}
