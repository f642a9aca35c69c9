// RUN: moe-opt %s --split-input-file --verify-diagnostics
// Each diagnostic of the dialect, once.

// expected-error @below {{has rank 4, but a weight has rank 1, 2 or 3 (experts first)}}
lm.weight @w : !lm.weight<2x3x4x5xf32> layers [] from [#lm.piece<pattern = "w", rows = 4, stored = f32>]

// -----

// expected-error @below {{needs 48 rows, but its pieces have 40}}
lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 40, stored = f32>]

// -----

// expected-error @below {{lists layer 1 as number 1, but layers are ascending from 0 to 1048575}}
lm.weight @w : !lm.weight<48x40xf32> layers [5, 1] from [#lm.piece<pattern = "w.{l}", rows = 48, stored = f32>]

// -----

// expected-error @below {{has no layers, but its piece "w.{l}" has a '{l}'}}
lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w.{l}", rows = 48, stored = f32>]

// -----

// expected-error @below {{has layers, but its piece "w" has no '{l}'}}
lm.weight @w : !lm.weight<48x40xf32> layers [0] from [#lm.piece<pattern = "w", rows = 48, stored = f32>]

// -----

// expected-error @below {{is of 'f32', but its piece "w" is stored as 'bf16'}}
lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 48, stored = bf16>]

// -----

// expected-error @below {{has a piece "w" of 'f8E4M3FN' without scales, which codes have and floats have not}}
lm.weight @w : !lm.weight<48x40xf8E4M3FN> layers [] from [#lm.piece<pattern = "w", rows = 48, stored = f8E4M3FN>]

// -----

// expected-error @below {{has a piece "w" of 'f32' with scales, which codes have and floats have not}}
lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 48, stored = f32, scales = <pattern = "s">>]

// -----

// expected-error @below {{has a piece "w" of 'f4E2M1FN' with a scale for each 1 x 16, wanted 1 x 32}}
lm.weight @w : !lm.weight<48x64xf4E2M1FN> layers []
    from [#lm.piece<pattern = "w", rows = 48, stored = f4E2M1FN, scales = <pattern = "s", rows = 1, columns = 16>>]

// -----

// Codes mean nothing without the scales that a handle leads to.
func.func @codes(%x: tensor<?x40xf32>, %w: tensor<48x40xf8E4M3FN>, %i: tensor<?x48xf32>) -> tensor<?x48xf32> {
  // expected-error @below {{operand #1 must be weight of rank 2 of f32, bf16 or f16, or a handle to one of f8E4M3FN or f4E2M1FN}}
  %y = lm.linear ins(%x, %w : tensor<?x40xf32>, tensor<48x40xf8E4M3FN>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// -----

// expected-error @below {{has no layers}}
lm.cache @attention layers [] heads 2 size 12 block 32 : f32

// -----

// expected-error @below {{lists layer 1048576 as number 1, but layers are ascending from 0 to 1048575}}
lm.weight @w : !lm.weight<48x40xf32> layers [5, 1048576] from [#lm.piece<pattern = "w.{l}", rows = 48, stored = f32>]

// -----

// expected-error @below {{lists layer -1 as number 0, but layers are ascending from 0 to 1048575}}
lm.cache @attention layers [-1] heads 2 size 12 block 32 : f32

// -----

// expected-error @below {{has blocks of 8 positions, no multiple of 16}}
lm.cache @attention layers [0] heads 2 size 12 block 8 : f32

// -----

// expected-error @below {{attribute 'element' failed to satisfy constraint}}
lm.cache @attention layers [0] heads 2 size 12 block 32 : f64

// -----

lm.cache @attention layers [0] heads 2 size 12 block 32 : f32
func.func @attention_element(%layer: index, %batch: !lm.batch, %q: memref<?x24xbf16>, %out: memref<?x24xf32>) {
  // expected-error @below {{has queries of 'bf16', neither f32 nor what the cache holds, 'f32'}}
  lm.attention @attention[%layer] of %batch scale 1.0 ins(%q : memref<?x24xbf16>) outs(%out : memref<?x24xf32>)
  return
}

// -----

func.func @open_columns(%x: tensor<?x?xf32>, %w: !lm.weight<48x40xf32>, %i: tensor<?x48xf32>) {
  // expected-error @below {{operand #0 must be tensor or memref of 32-bit float or bfloat16 type or 8-bit signless integer and rank 2, with a fixed number of adjacent columns}}
  %y = lm.linear ins(%x, %w : tensor<?x?xf32>, !lm.weight<48x40xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// -----

func.func @apart(%x: memref<?x40xf32, strided<[80, 2]>>, %i: memref<?x40xf32>) {
  // expected-error @below {{operand #0 must be tensor or memref of 32-bit float and rank 2, with a fixed number of adjacent columns}}
  lm.clamp 8.0 ins(%x : memref<?x40xf32, strided<[80, 2]>>) outs(%i : memref<?x40xf32>)
  return
}

// -----

func.func @half(%x: memref<?x40xf16>, %w: !lm.weight<48x40xf32>, %i: memref<?x48xf32>) {
  // expected-error @below {{operand #0 must be tensor or memref of 32-bit float or bfloat16 type or 8-bit signless integer and rank 2}}
  lm.linear ins(%x, %w : memref<?x40xf16>, !lm.weight<48x40xf32>) outs(%i : memref<?x48xf32>)
  return
}

// -----

// expected-error @below {{has a piece for 2 experts from 2 on, of 4, which neither goes on with nor follows the pieces before it}}
lm.weight @w : !lm.weight<4x8x5xf32> layers [] from [#lm.piece<pattern = "{e}", rows = 6, experts = 2, stored = f32>,
    #lm.piece<pattern = "w", rows = 8, rows_per_expert = 8, first_expert = 2, stored = f32>]

// -----

// expected-error @below {{has a piece for 5 experts from 0 on, of 4, which}}
lm.weight @w : !lm.weight<4x8x5xf32> layers [] from [#lm.piece<pattern = "{e}", rows = 8, experts = 5, stored = f32>]

// -----

// expected-error @below {{has a piece for 3 experts from 0 on, of 4, which}}
lm.weight @w : !lm.weight<4x8x5xf32> layers [] from [#lm.piece<pattern = "{e}.a", rows = 4, stored = f32>,
    #lm.piece<pattern = "{e}.b", rows = 4, experts = 3, stored = f32>]

// -----

// expected-error @below {{has 4 experts, but its pieces are for 3}}
lm.weight @w : !lm.weight<4x8x5xf32> layers [] from [#lm.piece<pattern = "{e}", rows = 8, experts = 3, stored = f32>]

// -----

// expected-error @below {{has 4 heads, but its pieces are for 3}}
lm.weight @w : !lm.weight<4x8x5xf32> heads layers [] from [#lm.piece<pattern = "{e}", rows = 8, experts = 3, stored = f32>]

// -----

// expected-error @below {{has a piece "w" whose rows are none, below 0 or not ascending}}
lm.weight @w : !lm.weight<8x5xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, row_step = 0, stored = f32>]

// -----

// expected-error @below {{has a piece "w" both transposed and side by side}}
lm.weight @w : !lm.weight<2x8x5xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, transposed = true, side_by_side = true, stored = f32>]

// -----

// expected-error @below {{has a piece of experts side by side, which needs experts and excludes rows_per_expert}}
lm.weight @w : !lm.weight<8x5xf32> layers [] from [#lm.piece<pattern = "w", rows = 8, side_by_side = true, stored = f32>]

// -----

// expected-error @below {{attribute 'heads' failed to satisfy constraint}}
lm.cache @attention layers [0] heads 0 size 12 block 32 : f32

// -----

func.func @load_weight_unknown() {
  // expected-error @below {{finds no 'lm.weight' of the name @w}}
  %w = lm.load_weight @w : !lm.weight<48x40xf32>
  return
}

// -----

lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 48, stored = f32>]
func.func @load_weight_type() {
  // expected-error @below {{is of type '!lm.weight<48x41xf32>', but @w holds '!lm.weight<48x40xf32>'}}
  %w = lm.load_weight @w : !lm.weight<48x41xf32>
  return
}

// -----

lm.weight @w : !lm.weight<48x40xf32> layers [] from [#lm.piece<pattern = "w", rows = 48, stored = f32>]
func.func @load_weight_layer(%layer: index) {
  // expected-error @below {{names a layer, but @w belongs to none}}
  %w = lm.load_weight @w[%layer] : !lm.weight<48x40xf32>
  return
}

// -----

lm.weight @w : !lm.weight<48x40xf32> layers [0] from [#lm.piece<pattern = "w.{l}", rows = 48, stored = f32>]
func.func @load_weight_no_layer() {
  // expected-error @below {{names no layer, but @w has one tensor per layer}}
  %w = lm.load_weight @w : !lm.weight<48x40xf32>
  return
}

// -----

func.func @embedding(%ids: memref<?xi32>, %w: !lm.weight<341x41xf32>, %h: memref<?x40xf32>) {
  // expected-error @below {{columns of the table are 41, but columns of the result are 40}}
  lm.embedding ins(%ids, %w : memref<?xi32>, !lm.weight<341x41xf32>) outs(%h : memref<?x40xf32>)
  return
}

// -----

func.func @results(%x: tensor<?x40xf32>, %i: tensor<?x40xf32>) {
  // expected-error @below {{expected the number of tensor results (0) to be equal to the number of output tensors (1)}}
  lm.add ins(%x, %x : tensor<?x40xf32>, tensor<?x40xf32>) outs(%i : tensor<?x40xf32>)
  return
}

// -----

func.func @rms_norm_columns(%x: memref<?x40xf32>, %w: !lm.weight<40xf32>, %y: memref<?x41xf32>) {
  // expected-error @below {{columns of the input are 40, but columns of the result are 41}}
  lm.rms_norm epsilon 1.0e-5 ins(%x, %w : memref<?x40xf32>, !lm.weight<40xf32>) outs(%y : memref<?x41xf32>)
  return
}

// -----

func.func @rms_norm_heads(%x: memref<?x40xf32>, %w: !lm.weight<13xf32>, %y: memref<?x40xf32>) {
  // expected-error @below {{cannot cut 40 columns into 3 heads}}
  lm.rms_norm epsilon 1.0e-5 heads 3 ins(%x, %w : memref<?x40xf32>, !lm.weight<13xf32>) outs(%y : memref<?x40xf32>)
  return
}

// -----

func.func @rms_norm_weight(%x: memref<?x40xf32>, %w: !lm.weight<40xf32>, %y: memref<?x40xf32>) {
  // expected-error @below {{elements of the weight are 40, but columns of a head are 10}}
  lm.rms_norm epsilon 1.0e-5 heads 4 ins(%x, %w : memref<?x40xf32>, !lm.weight<40xf32>) outs(%y : memref<?x40xf32>)
  return
}

// -----

func.func @linear_inner(%x: memref<?x40xf32>, %w: !lm.weight<48x41xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{columns of the weight are 41, but columns of the input are 40}}
  lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x41xf32>) outs(%y : memref<?x48xf32>)
  return
}

// -----

func.func @linear_bias(%x: memref<?x40xf32>, %w: !lm.weight<48x40xf32>, %b: !lm.weight<47xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{elements of the bias are 47, but rows of the weight are 48}}
  lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) bias(%b : !lm.weight<47xf32>) outs(%y : memref<?x48xf32>)
  return
}

// -----

func.func @linear_outer(%x: memref<?x40xf32>, %w: !lm.weight<48x40xf32>, %y: memref<?x49xf32>) {
  // expected-error @below {{rows of the weight are 48, but columns of the result are 49}}
  lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) outs(%y : memref<?x49xf32>)
  return
}

// -----

func.func @add(%x: memref<?x40xf32>, %z: memref<?x41xf32>, %y: memref<?x40xf32>) {
  // expected-error @below {{columns of the right are 41, but columns of the left are 40}}
  lm.add ins(%x, %z : memref<?x40xf32>, memref<?x41xf32>) outs(%y : memref<?x40xf32>)
  return
}

// -----

func.func @scale_rows(%x: memref<?x40xf32>, %g: memref<?x2xf32>, %y: memref<?x40xf32>) {
  // expected-error @below {{columns of the gate are 2, but gates of a row are 1}}
  lm.scale_rows ins(%x, %g : memref<?x40xf32>, memref<?x2xf32>) outs(%y : memref<?x40xf32>)
  return
}

// -----

func.func @rope_table_cosines(%p: memref<?xi32>, %c: memref<?x3xf32>, %s: memref<?x2xf32>) {
  // expected-error @below {{columns of the cosines are 3, but frequencies are 2}}
  lm.rope_table frequencies [1.0, 0.1] factor 1.0 ins(%p : memref<?xi32>) outs(%c, %s : memref<?x3xf32>, memref<?x2xf32>)
  return
}

// -----

func.func @rope_table_sines(%p: memref<?xi32>, %c: memref<?x2xf32>, %s: memref<?x3xf32>) {
  // expected-error @below {{columns of the sines are 3, but frequencies are 2}}
  lm.rope_table frequencies [1.0, 0.1] factor 1.0 ins(%p : memref<?xi32>) outs(%c, %s : memref<?x2xf32>, memref<?x3xf32>)
  return
}

// -----

func.func @rope_heads(%q: memref<?x48xf32>, %c: memref<?x6xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{cannot cut 48 columns into 5 heads}}
  lm.rope heads 5 ins(%q, %c, %c : memref<?x48xf32>, memref<?x6xf32>, memref<?x6xf32>) outs(%y : memref<?x48xf32>)
  return
}

// -----

func.func @rope_pairs(%q: memref<?x48xf32>, %c: memref<?x7xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{rotates 14 entries from 0 on of a head of 12}}
  lm.rope heads 4 ins(%q, %c, %c : memref<?x48xf32>, memref<?x7xf32>, memref<?x7xf32>) outs(%y : memref<?x48xf32>)
  return
}

// -----

func.func @rope_sines(%q: memref<?x48xf32>, %c: memref<?x6xf32>, %s: memref<?x5xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{columns of the sines are 5, but columns of the cosines are 6}}
  lm.rope heads 4 ins(%q, %c, %s : memref<?x48xf32>, memref<?x6xf32>, memref<?x5xf32>) outs(%y : memref<?x48xf32>)
  return
}

// -----

func.func @cache_append_unknown(%batch: !lm.batch, %layer: index, %k: memref<?x24xf32>) {
  // expected-error @below {{finds no 'lm.cache' of the name @attention}}
  lm.cache_append @attention[%layer] of %batch ins(%k, %k : memref<?x24xf32>, memref<?x24xf32>)
  return
}

// -----

lm.cache @attention layers [0] heads 2 size 12 block 32 : f32
func.func @cache_append_keys(%batch: !lm.batch, %layer: index, %k: memref<?x25xf32>, %v: memref<?x24xf32>) {
  // expected-error @below {{columns of the keys are 25, but elements of the cache's heads are 24}}
  lm.cache_append @attention[%layer] of %batch ins(%k, %v : memref<?x25xf32>, memref<?x24xf32>)
  return
}

// -----

lm.cache @attention layers [0] heads 2 size 12 block 32 : f32
func.func @cache_append_values(%batch: !lm.batch, %layer: index, %k: memref<?x24xf32>, %v: memref<?x25xf32>) {
  // expected-error @below {{columns of the values are 25, but elements of the cache's heads are 24}}
  lm.cache_append @attention[%layer] of %batch ins(%k, %v : memref<?x24xf32>, memref<?x25xf32>)
  return
}

// -----

lm.cache @attention layers [0] heads 2 size 12 block 32 : f32
func.func @attend(%batch: !lm.batch, %layer: index, %q: memref<?x36xf32>, %o: memref<?x36xf32>) {
  // expected-error @below {{columns of the queries are 36, which is no multiple of the cache's 2 heads of 12}}
  lm.attention @attention[%layer] of %batch scale 0.28 ins(%q : memref<?x36xf32>) outs(%o : memref<?x36xf32>)
  return
}

// -----

func.func @phase(%n: index) {
  // expected-error @below {{needs a body of one argument, the tile, of type index}}
  lm.phase "nothing" tiles(%n) rows 0 panels 0 {
  ^bb0(%tile: i32):
    lm.barrier
  }
  return
}

// -----

func.func @panels_of_two_ops(%n: index, %x: memref<?x40xf32>, %w: !lm.weight<48x40xf32>, %y: memref<?x48xf32>) {
  // expected-error @below {{holds 2 ops with results; cut into panels it holds one}}
  lm.phase "linear" tiles(%n) rows 0 panels 1 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) outs(%y : memref<?x48xf32>)
    lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) outs(%y : memref<?x48xf32>)
  }
  return
}

// -----

func.func @panels_below_none(%n: index) {
  // expected-error @below {{attribute 'panels' failed to satisfy constraint: 64-bit signless integer attribute whose value is non-negative}}
  lm.phase "nothing" tiles(%n) rows 0 panels -1 {
  ^bb0(%tile: index):
    lm.barrier
  }
  return
}

// -----

func.func @record_largest(%batch: !lm.batch, %l: tensor<?x341xf32>) {
  // expected-error @below {{gives 5 of each 4 columns}}
  lm.record_largest 5 of each 4 of %batch ins(%l : tensor<?x341xf32>)
  return
}

// -----

func.func @quantize(%x: tensor<4x40xf32>, %i: tensor<4x40xi8>) -> tensor<4x40xi8> {
  // expected-error @below {{columns of the result are 40, but bytes of the input's blocks are 80}}
  %y = lm.quantize block 32 ins(%x : tensor<4x40xf32>) outs(%i : tensor<4x40xi8>) -> tensor<4x40xi8>
  return %y : tensor<4x40xi8>
}

// -----

func.func @quantize(%x: tensor<4x40xf32>, %i: tensor<4x60xi8>) -> tensor<4x60xi8> {
  // expected-error @below {{has blocks of 12 elements, no multiple of 32}}
  %y = lm.quantize block 12 ins(%x : tensor<4x40xf32>) outs(%i : tensor<4x60xi8>) -> tensor<4x60xi8>
  return %y : tensor<4x60xi8>
}

// -----

func.func @linear(%x: tensor<4x81xi8>, %w: tensor<8x40xf32>, %i: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-error @below {{columns of the weight are 40, but columns of the input are 81, which is no row of as many quantised elements}}
  %y = lm.linear ins(%x, %w : tensor<4x81xi8>, tensor<8x40xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----

// expected-error @below {{is latent, so that its values are some of the elements of its keys}}
lm.cache @c layers [0] heads 1 size 48 values 49 latent block 32 : f32

// -----

// expected-error @below {{has both a window and chunks}}
lm.cache @c layers [0] heads 1 size 48 block 32 window 8 chunk 8 : f32

// -----

lm.cache @c layers [0] heads 1 size 48 values 32 latent block 32 : f32
func.func @latent_values(%batch: !lm.batch, %layer: index, %k: tensor<?x48xf32>, %v: tensor<?x32xf32>) {
  // expected-error @below {{has values for the cache, which is latent}}
  lm.cache_append @c[%layer] of %batch ins(%k, %v : tensor<?x48xf32>, tensor<?x32xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 block 32 : f32
func.func @no_values(%batch: !lm.batch, %layer: index, %k: tensor<?x48xf32>) {
  // expected-error @below {{has no values for the cache, which is not latent}}
  lm.cache_append @c[%layer] of %batch ins(%k : tensor<?x48xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 block 32 : f32
func.func @sinks(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>, %s: tensor<3xf32>) {
  // expected-error @below {{entries of the sinks are 3, but heads of the queries are 2}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) sinks(%s : tensor<3xf32>)
      outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 values 32 block 32 : f32
func.func @wide_result(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>) {
  // expected-error @below {{columns of the result are 96, but elements of the heads' values are 64}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

func.func @slice(%x: tensor<?x48xf32>, %o: tensor<?x24xf32>) {
  // expected-error @below {{takes 6 entries from 8 on of a head of 12}}
  %y = lm.slice_heads heads 4 first 8 ins(%x : tensor<?x48xf32>) outs(%o : tensor<?x24xf32>) -> tensor<?x24xf32>
  return
}

// -----

func.func @join(%x: tensor<?x48xf32>, %r: tensor<?x5xf32>, %o: tensor<?x64xf32>) {
  // expected-error @below {{has 5 columns to the right, wanted 4, for all heads, or 4 times as many}}
  %y = lm.join_heads heads 4 ins(%x, %r : tensor<?x48xf32>, tensor<?x5xf32>) outs(%o : tensor<?x64xf32>) -> tensor<?x64xf32>
  return
}

// -----

lm.weight @experts : !lm.weight<4x20x12xf32> layers [] from [#lm.piece<pattern = "w", rows = 20, rows_per_expert = 20, stored = f32>]
func.func @no_heads(%x: tensor<?x48xf32>, %o: tensor<?x80xf32>) {
  // expected-error @below {{is multiplied head by head, but @experts has no heads}}
  %w = lm.load_weight @experts : !lm.weight<4x20x12xf32>
  %y = lm.head_linear ins(%x, %w : tensor<?x48xf32>, !lm.weight<4x20x12xf32>) outs(%o : tensor<?x80xf32>) -> tensor<?x80xf32>
  return
}

// -----

func.func @head_linear(%x: tensor<?x48xf32>, %w: tensor<4x20x13xf32>, %o: tensor<?x80xf32>) {
  // expected-error @below {{columns of the input are 48, but columns of all matrices are 52}}
  %y = lm.head_linear ins(%x, %w : tensor<?x48xf32>, tensor<4x20x13xf32>) outs(%o : tensor<?x80xf32>) -> tensor<?x80xf32>
  return
}

// -----

// expected-error @below {{is indexed, so that rows see what they choose, but has a window or chunks}}
lm.cache @c layers [0] heads 1 size 48 indexed block 32 window 8 : f32

// -----

lm.cache @c layers [0] heads 1 size 48 indexed block 32 : f32
func.func @all_of_indexed(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>) {
  // expected-error @below {{reads all of a cache that is indexed}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 block 32 : f32
func.func @chosen_of_plain(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{chooses from a cache that is not indexed}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) chosen(%c : tensor<?x9xi32>)
      outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

lm.cache @c layers [0] heads 2 size 32 values 32 latent block 32 : f32
func.func @index_heads(%batch: !lm.batch, %layer: index, %q: tensor<?x128xf32>, %w: tensor<?x4xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{compares with a cache that is not one of one head of keys alone}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 64 ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  return
}

// -----

func.func @layer_norm(%x: tensor<?x40xf32>, %w: tensor<40xf32>, %b: tensor<39xf32>) {
  // expected-error @below {{elements of weight or bias are 39, but columns of the input are 40}}
  %y = lm.layer_norm epsilon 1.0e-6 ins(%x, %w, %b : tensor<?x40xf32>, tensor<40xf32>, tensor<39xf32>) outs(%x : tensor<?x40xf32>) -> tensor<?x40xf32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 32 values 32 latent block 32 window 8 : f32
func.func @index_window(%batch: !lm.batch, %layer: index, %q: tensor<?x128xf32>, %w: tensor<?x4xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{compares with all positions, but its cache has a window or chunks and keeps the latest alone}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 64 ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 32 values 32 latent block 32 chunk 8 : f32
func.func @index_chunk(%batch: !lm.batch, %layer: index, %q: tensor<?x128xf32>, %w: tensor<?x4xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{compares with all positions, but its cache has a window or chunks and keeps the latest alone}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 64 ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 32 values 32 latent block 32 : f32
func.func @index_context(%batch: !lm.batch, %layer: index, %q: tensor<?x128xf32>, %w: tensor<?x4xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{chooses among 1048577 positions, more than the 1048576 that it can}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 1048577 ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 32 values 32 latent block 32 : f32
func.func @index_no_heads(%batch: !lm.batch, %layer: index, %q: tensor<?x0xf32>, %w: tensor<?x0xf32>, %c: tensor<?x9xi32>) {
  // expected-error @below {{has no heads}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 64 ins(%q, %w : tensor<?x0xf32>, tensor<?x0xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 32 values 32 latent block 32 : f32
func.func @index_no_room(%batch: !lm.batch, %layer: index, %q: tensor<?x128xf32>, %w: tensor<?x4xf32>, %c: tensor<?x1xi32>) {
  // expected-error @below {{has no room for a position behind their number}}
  %y = lm.choose_keys @c[%layer] of %batch scale 0.01 context 64 ins(%q, %w : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x1xi32>) -> tensor<?x1xi32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 indexed block 32 : f32
func.func @chosen_no_room(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>, %c: tensor<?x1xi32>) {
  // expected-error @below {{is to what has no room for a position behind their number}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) chosen(%c : tensor<?x1xi32>)
      outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 indexed block 32 : f32
func.func @chosen_floats(%batch: !lm.batch, %layer: index, %q: tensor<?x96xf32>, %c: tensor<?x9xf32>) {
  // expected-error @below {{operand #3 must be tensor or memref of 32-bit signless integer and rank 2}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x96xf32>) chosen(%c : tensor<?x9xf32>)
      outs(%q : tensor<?x96xf32>) -> tensor<?x96xf32>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 block 32 : f32
func.func @no_query_heads(%batch: !lm.batch, %layer: index, %q: tensor<?x0xf32>) {
  // expected-error @below {{has no query heads}}
  %y = lm.attention @c[%layer] of %batch scale 0.28 ins(%q : tensor<?x0xf32>) outs(%q : tensor<?x0xf32>) -> tensor<?x0xf32>
  return
}

// -----

// expected-error @below {{attribute 'size' failed to satisfy constraint}}
lm.cache @c layers [0] heads 1 size 0 block 32 : f32

// -----

// expected-error @below {{attribute 'values' failed to satisfy constraint}}
lm.cache @c layers [0] heads 1 size 48 values 0 block 32 : f32

// -----

// expected-error @below {{has heads, but rank 2, wanted 3}}
lm.weight @w : !lm.weight<4x5xf32> heads layers [] from [#lm.piece<pattern = "w", rows = 4, stored = f32>]

// -----

// expected-error @below {{holds vectors of experts or heads, but its shape is not that of a column for each}}
lm.weight @w : !lm.weight<2x4x5xf32> vectors layers [] from [#lm.piece<pattern = "w.{e}", rows = 4, stored = f32>]

// -----

func.func @too_many(%batch: !lm.batch, %layer: index, %x: tensor<?x40xf32>) -> tensor<?x40xf32> {
  // expected-error @below {{gives 5 buffers with that for the result, wanted 4 at most}}
  %y = lm.run_part 0[%layer] of %batch ins(%x, %x, %x, %x : tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>, tensor<?x40xf32>)
      outs(%x : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// -----

func.func @no_such_rows(%batch: !lm.batch) -> tensor<?x40xf32> {
  // expected-error @below {{is buffer number 4 of a part, which has 4 at most}}
  %x = lm.part_rows 4 of %batch : tensor<?x40xf32>
  return %x : tensor<?x40xf32>
}

// -----

func.func @no_rows(%batch: !lm.batch) -> tensor<?xf32> {
  // expected-error @below {{is of type 'tensor<?xf32>', wanted rows of a fixed number of columns}}
  %x = lm.part_rows 0 of %batch : tensor<?xf32>
  return %x : tensor<?xf32>
}

// -----

// expected-error @below {{is of type 'tensor<?xf32>', wanted one of fixed sizes}}
lm.tensor @t : tensor<?xf32> from "t"

// -----

// expected-error @below {{ranked tensor of a boolean, or an integer or float of whole bytes values}}
lm.tensor @t : tensor<8xi4> from "t"

// -----

func.func @f() {
  // expected-error @below {{finds no 'lm.tensor' of the name @t}}
  %t = lm.load_tensor @t : tensor<8xf32>
  return
}

// -----

lm.tensor @t : tensor<8xi32> from "t"
func.func @f() {
  // expected-error @below {{is of type 'tensor<8xf32>', but @t holds 'tensor<8xi32>'}}
  %t = lm.load_tensor @t : tensor<8xf32>
  return
}

// -----

func.func @f(%batch: !lm.batch) {
  // expected-error @below {{is given 0 sizes, but its type leaves open 1}}
  %x = lm.graph_input %batch "x"() : tensor<?x40xf32>
  return
}

// -----

func.func @f(%batch: !lm.batch) {
  // expected-error @below {{wanted one whose rows are adjacent}}
  %x = lm.graph_output %batch "x"() : memref<2x40xf32, strided<[80, 1]>>
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 block 32 : bf16
func.func @pieces_of_panels(%batch: !lm.batch, %layer: index, %q: memref<?x96xbf16>, %r: memref<?x96xf32>) {
  // expected-error @below {{is to a cache that is not of bf16 in rows, or is indexed}}
  lm.attend_tiles @c[%layer] of %batch scale 0.28 piece 64 pieces 3 ins(%q : memref<?x96xbf16>)
      outs(%q, %r : memref<?x96xbf16>, memref<?x96xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 rows block 32 : bf16
func.func @odd_pieces(%batch: !lm.batch, %layer: index, %q: memref<?x96xbf16>, %r: memref<?x96xf32>) {
  // expected-error @below {{has pieces of 96 positions, no power of two from 64 on}}
  lm.attend_tiles @c[%layer] of %batch scale 0.28 piece 96 pieces 3 ins(%q : memref<?x96xbf16>)
      outs(%q, %r : memref<?x96xbf16>, memref<?x96xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 rows block 32 : bf16
func.func @queries_of_pieces(%batch: !lm.batch, %layer: index, %q: memref<?x96xf32>) {
  // expected-error @below {{has queries of 96 'f32', wanted bf16 for a multiple of the cache's 1 heads of 48}}
  lm.attend_tiles @c[%layer] of %batch scale 0.28 piece 64 pieces 3 ins(%q : memref<?x96xf32>)
      outs(%q, %q : memref<?x96xf32>, memref<?x96xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 rows block 32 : bf16
func.func @narrow_room(%batch: !lm.batch, %layer: index, %q: memref<?x96xbf16>, %r: memref<?x48xf32>) {
  // expected-error @below {{columns of a result are 48, but elements of the heads' values are 96}}
  lm.attend_tiles @c[%layer] of %batch scale 0.28 piece 64 pieces 3 ins(%q : memref<?x96xbf16>)
      outs(%q, %r : memref<?x96xbf16>, memref<?x48xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 rows block 32 : bf16
func.func @narrow_parts(%batch: !lm.batch, %layer: index, %most: index, %q: memref<?x96xbf16>, %p: memref<?x288xf32>) {
  // expected-error @below {{columns of the parts are 288, but elements of the heads' pieces are 300}}
  lm.attend_pieces @c[%layer] of %batch scale 0.28 piece 64 pieces 3 most %most ins(%q : memref<?x96xbf16>)
      outs(%p : memref<?x288xf32>)
  return
}

// -----

lm.cache @c layers [0] heads 1 size 48 rows block 32 : bf16
func.func @joined_parts(%batch: !lm.batch, %p: memref<?x288xf32>, %o: memref<?x96xbf16>) {
  // expected-error @below {{columns of the parts are 288, but elements of the heads' pieces are 300}}
  lm.join_pieces @c of %batch piece 64 pieces 3 ins(%p : memref<?x288xf32>) outs(%o : memref<?x96xbf16>)
  return
}
