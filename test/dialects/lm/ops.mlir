// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt --emit-bytecode %s | moe-opt | FileCheck %s
// The example of every op, as text and as bytecode.

// CHECK-LABEL: lm.weight @up : !lm.weight<8x28x40xf32> layers [0, 1]
// CHECK-SAME:    from [#lm.piece<pattern = "model.layers.{l}.mlp.experts.{e}.up_proj.weight", rows = 28, stored = f32>]
lm.weight @up : !lm.weight<8x28x40xf32> layers [0, 1]
    from [#lm.piece<pattern = "model.layers.{l}.mlp.experts.{e}.up_proj.weight", rows = 28, stored = f32>]

// Codes with a scale for each block.
// CHECK-LABEL: lm.weight @down : !lm.weight<320x200xf8E4M3FN> layers [0, 1]
// CHECK-SAME:    stored = f8E4M3FN, scales = <pattern = "model.layers.{l}.mlp.down_proj.weight_scale_inv", rows = 128, columns = 128>>]
lm.weight @down : !lm.weight<320x200xf8E4M3FN> layers [0, 1]
    from [#lm.piece<pattern = "model.layers.{l}.mlp.down_proj.weight", rows = 320, stored = f8E4M3FN,
                    scales = <pattern = "model.layers.{l}.mlp.down_proj.weight_scale_inv", rows = 128, columns = 128>>]

// A matrix for each head, and a vector for each expert.
// CHECK-LABEL: lm.weight @per_head : !lm.weight<4x20x12xf32> heads layers [0]
lm.weight @per_head : !lm.weight<4x20x12xf32> heads layers [0] from [#lm.piece<pattern = "kv_b.{l}", rows = 20, rows_per_expert = 20, stored = f32>]
// CHECK-LABEL: lm.weight @biases : !lm.weight<8x28x1xf32> vectors layers [0]
lm.weight @biases : !lm.weight<8x28x1xf32> vectors layers [0] from [#lm.piece<pattern = "bias.{l}", rows = 28, rows_per_expert = 28, stored = f32>]

// Rows of a tensor that stacks all experts, and where a program holds them.
// CHECK-LABEL: lm.weight @stacked_up : !lm.weight<8x28x40xbf16> layers [0]
// CHECK-SAME:    rows = 28, first_row = 28, rows_per_expert = 56, stored = bf16>
// CHECK-SAME:    packed <layout = panels, element = bf16, offset = 4096>
lm.weight @stacked_up : !lm.weight<8x28x40xbf16> layers [0]
    from [#lm.piece<pattern = "model.layers.{l}.mlp.experts.gate_up_proj", rows = 28, first_row = 28, rows_per_expert = 56, stored = bf16>]
    packed <layout = panels, element = bf16, offset = 4096>

// Experts 8 and 9 come from a tensor of their own, one below the other; or side by side in its rows.
// CHECK-LABEL: lm.weight @shared_up : !lm.weight<10x28x40xf32> layers [0]
// CHECK-SAME:    rows_per_expert = 28, first_expert = 8, experts = 2, stored = f32>]
lm.weight @shared_up : !lm.weight<10x28x40xf32> layers [0]
    from [#lm.piece<pattern = "{l}.{e}.up", rows = 28, experts = 8, stored = f32>,
          #lm.piece<pattern = "{l}.shared.up", rows = 28, rows_per_expert = 28, first_expert = 8, experts = 2, stored = f32>]
// CHECK-LABEL: lm.weight @shared_down : !lm.weight<10x40x28xf32> layers [0]
// CHECK-SAME:    rows = 40, side_by_side = true, first_expert = 8, stored = f32>]
lm.weight @shared_down : !lm.weight<10x40x28xf32> layers [0]
    from [#lm.piece<pattern = "{l}.{e}.down", rows = 40, experts = 8, stored = f32>,
          #lm.piece<pattern = "{l}.shared.down", rows = 40, side_by_side = true, first_expert = 8, stored = f32>]

// Every second column of a stored tensor that has experts one below the other.
// CHECK-LABEL: lm.weight @up_of_columns
// CHECK-SAME:    rows = 28, first_row = 1, row_step = 2, rows_per_expert = 40, transposed = true, stored = f32>]
lm.weight @up_of_columns : !lm.weight<8x28x40xf32> layers []
    from [#lm.piece<pattern = "gate_up", rows = 28, first_row = 1, row_step = 2, rows_per_expert = 40, transposed = true, stored = f32>]

// A weight of two pieces that belongs to no layer, used where it lies.
// CHECK-LABEL: lm.weight @table : !lm.weight<341x40xf32> layers []
// CHECK-SAME:    from [#lm.piece<pattern = "a", rows = 300, stored = f32>, #lm.piece<pattern = "b", rows = 41, stored = f32>]
// CHECK-SAME:    packed <layout = rows, element = f32, offset = 0, mapped = true>
lm.weight @table : !lm.weight<341x40xf32> layers []
    from [#lm.piece<pattern = "a", rows = 300, stored = f32>, #lm.piece<pattern = "b", rows = 41, stored = f32>]
    packed <layout = rows, element = f32, offset = 0, mapped = true>

// CHECK-LABEL: lm.cache @attention layers [0, 1] heads 2 size 12 block 32 : f32
lm.cache @attention layers [0, 1] heads 2 size 12 block 32 : f32

// CHECK-LABEL: lm.cache @sliding layers [2] heads 2 size 12 block 32 window 8 : bf16
lm.cache @sliding layers [2] heads 2 size 12 block 32 window 8 : bf16

// CHECK-LABEL: func @load_weight
// CHECK:         lm.load_weight @up[%{{.*}}] : <8x28x40xf32>
// CHECK:         lm.load_weight @table : <341x40xf32>
func.func @load_weight(%layer: index) -> !lm.weight<8x28x40xf32> {
  %w = lm.load_weight @up[%layer] : !lm.weight<8x28x40xf32>
  %t = lm.load_weight @table : !lm.weight<341x40xf32>
  return %w : !lm.weight<8x28x40xf32>
}

// CHECK-LABEL: func @layer_kind
// CHECK:         lm.layer_kind %{{.*}} of [0, 1, 0, 0]
func.func @layer_kind(%layer: index) -> index {
  %kind = lm.layer_kind %layer of [0, 1, 0, 0]
  return %kind : index
}

// CHECK-LABEL: func @batch
// CHECK:         lm.token_count
// CHECK:         lm.output_count
// CHECK:         lm.query_tile_count
// CHECK:         lm.block_count
// CHECK:         lm.token_ids %{{.*}} : tensor<?xi32>
// CHECK:         lm.positions %{{.*}} : tensor<?xi32>
// CHECK:         lm.output_rows %{{.*}} : memref<?xi32>
// CHECK:         lm.logits %{{.*}} : memref<?x341xf32>
// CHECK:         lm.arena %{{.*}} : memref<?xi8>
func.func @batch(%batch: !lm.batch) {
  %T = lm.token_count %batch
  %R = lm.output_count %batch
  %Q = lm.query_tile_count %batch
  %B = lm.block_count %batch
  %ids = lm.token_ids %batch : tensor<?xi32>
  %p = lm.positions %batch : tensor<?xi32>
  %rows = lm.output_rows %batch : memref<?xi32>
  %l = lm.logits %batch : memref<?x341xf32>
  %a = lm.arena %batch : memref<?xi8>
  return
}

// CHECK-LABEL: func @embedding
// CHECK:         lm.embedding ins(%{{.*}}, %{{.*}} : tensor<?xi32>, !lm.weight<341x40xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
func.func @embedding(%ids: tensor<?xi32>, %w: !lm.weight<341x40xf32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %h = lm.embedding ins(%ids, %w : tensor<?xi32>, !lm.weight<341x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %h : tensor<?x40xf32>
}

// CHECK-LABEL: func @rms_norm
// CHECK:         lm.rms_norm epsilon {{.*}} ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, !lm.weight<40xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
// CHECK:         lm.rms_norm epsilon {{.*}} heads 4 ins(
func.func @rms_norm(%x: tensor<?x40xf32>, %w: !lm.weight<40xf32>, %v: !lm.weight<10xf32>, %i: tensor<?x40xf32>)
    -> tensor<?x40xf32> {
  %y = lm.rms_norm epsilon 1.0e-5 ins(%x, %w : tensor<?x40xf32>, !lm.weight<40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  %z = lm.rms_norm epsilon 1.0e-5 heads 4 ins(%y, %v : tensor<?x40xf32>, !lm.weight<10xf32>) outs(%i : tensor<?x40xf32>)
      -> tensor<?x40xf32>
  return %z : tensor<?x40xf32>
}

// CHECK-LABEL: func @linear
// CHECK:         lm.linear ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, !lm.weight<48x40xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x48xf32>) -> tensor<?x48xf32>
// CHECK:         lm.linear accumulate ins(
// CHECK-SAME:      bias(%{{.*}} : !lm.weight<48xf32>) outs(
func.func @linear(%x: tensor<?x40xf32>, %w: !lm.weight<48x40xf32>, %b: !lm.weight<48xf32>, %i: tensor<?x48xf32>)
    -> tensor<?x48xf32> {
  %y = lm.linear ins(%x, %w : tensor<?x40xf32>, !lm.weight<48x40xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  %z = lm.linear accumulate ins(%x, %w : tensor<?x40xf32>, !lm.weight<48x40xf32>) bias(%b : !lm.weight<48xf32>)
      outs(%y : tensor<?x48xf32>) -> tensor<?x48xf32>
  return %z : tensor<?x48xf32>
}

// CHECK-LABEL: func @clamp
// CHECK:         lm.clamp {{8.0.*}} ins(%{{.*}} : tensor<?x48xf32>) outs(%{{.*}} : tensor<?x48xf32>) -> tensor<?x48xf32>
func.func @clamp(%x: tensor<?x48xf32>, %i: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %y = lm.clamp 8.0 ins(%x : tensor<?x48xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  return %y : tensor<?x48xf32>
}

// CHECK-LABEL: func @rope_table
// CHECK:         lm.rope_table frequencies [1.000000e+00, 1.000000e-01] factor 1.000000e+00 ins(%{{.*}} : tensor<?xi32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}} : tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>, tensor<?x2xf32>
func.func @rope_table(%p: tensor<?xi32>, %a: tensor<?x2xf32>, %b: tensor<?x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %c, %s = lm.rope_table frequencies [1.0, 0.1] factor 1.0 ins(%p : tensor<?xi32>)
      outs(%a, %b : tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>, tensor<?x2xf32>
  return %c, %s : tensor<?x2xf32>, tensor<?x2xf32>
}

// CHECK-LABEL: func @rope
// CHECK:         lm.rope heads 4 ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x48xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x48xf32>) -> tensor<?x48xf32>
// CHECK:         lm.rope heads 4 interleaved ins(
func.func @rope(%q: tensor<?x48xf32>, %c: tensor<?x6xf32>, %s: tensor<?x6xf32>, %i: tensor<?x48xf32>) -> tensor<?x48xf32> {
  %r = lm.rope heads 4 ins(%q, %c, %s : tensor<?x48xf32>, tensor<?x6xf32>, tensor<?x6xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  %t = lm.rope heads 4 interleaved ins(%r, %c, %s : tensor<?x48xf32>, tensor<?x6xf32>, tensor<?x6xf32>)
      outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  return %t : tensor<?x48xf32>
}

// CHECK-LABEL: func @attend
// CHECK:         lm.cache_append @attention[%{{.*}}] of %{{.*}} ins(%{{.*}}, %{{.*}} : tensor<?x24xf32>, tensor<?x24xf32>)
// CHECK:         lm.attention @attention[%{{.*}}] of %{{.*}} scale 2.800000e-01 ins(%{{[^ ]+}} : tensor<?x48xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x48xf32>) -> tensor<?x48xf32>
func.func @attend(%batch: !lm.batch, %layer: index, %q: tensor<?x48xf32>, %k: tensor<?x24xf32>, %v: tensor<?x24xf32>,
                     %i: tensor<?x48xf32>) -> tensor<?x48xf32> {
  lm.cache_append @attention[%layer] of %batch ins(%k, %v : tensor<?x24xf32>, tensor<?x24xf32>)
  %o = lm.attention @attention[%layer] of %batch scale 0.28 ins(%q : tensor<?x48xf32>) outs(%i : tensor<?x48xf32>) -> tensor<?x48xf32>
  return %o : tensor<?x48xf32>
}

// CHECK-LABEL: func @record_routing
// CHECK:         lm.record_routing %{{.*}} of %{{.*}} picked 2 ins(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>)
func.func @record_routing(%ordinal: index, %batch: !lm.batch, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>) {
  lm.record_routing %ordinal of %batch picked 2 ins(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>)
  return
}

// CHECK-LABEL: func @record_largest
// CHECK:         lm.record_largest 4 of each 512 of %{{.*}} ins(%{{.*}} : tensor<?x341xf32>)
func.func @record_largest(%batch: !lm.batch, %l: tensor<?x341xf32>) {
  lm.record_largest 4 of each 512 of %batch ins(%l : tensor<?x341xf32>)
  return
}

// CHECK-LABEL: func @scale_rows
// CHECK:         lm.scale_rows ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?x1xf32>) outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
func.func @scale_rows(%x: tensor<?x40xf32>, %g: tensor<?x1xf32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.scale_rows ins(%x, %g : tensor<?x40xf32>, tensor<?x1xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// CHECK-LABEL: func @add
// CHECK:         lm.add ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?x40xf32>) outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
func.func @add(%a: tensor<?x40xf32>, %b: tensor<?x40xf32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.add ins(%a, %b : tensor<?x40xf32>, tensor<?x40xf32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// CHECK-LABEL: func @round
// CHECK:         lm.round ins(%{{.*}} : tensor<?x40xf32>) outs(%{{.*}} : tensor<?x40xbf16>) -> tensor<?x40xbf16>
func.func @round(%x: tensor<?x40xf32>, %i: tensor<?x40xbf16>) -> tensor<?x40xbf16> {
  %y = lm.round ins(%x : tensor<?x40xf32>) outs(%i : tensor<?x40xbf16>) -> tensor<?x40xbf16>
  return %y : tensor<?x40xbf16>
}

// 40 columns are two blocks of 32, each with eight bytes behind it.
// CHECK-LABEL: func @quantize
// CHECK:         lm.quantize block 32 ins(%{{.*}} : tensor<?x40xf32>) outs(%{{.*}} : tensor<?x80xi8>) -> tensor<?x80xi8>
func.func @quantize(%x: tensor<?x40xf32>, %i: tensor<?x80xi8>) -> tensor<?x80xi8> {
  %y = lm.quantize block 32 ins(%x : tensor<?x40xf32>) outs(%i : tensor<?x80xi8>) -> tensor<?x80xi8>
  return %y : tensor<?x80xi8>
}

// CHECK-LABEL: func @select_rows
// CHECK:         lm.select_rows ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?xi32>) outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
func.func @select_rows(%h: tensor<?x40xf32>, %rows: tensor<?xi32>, %i: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.select_rows ins(%h, %rows : tensor<?x40xf32>, tensor<?xi32>) outs(%i : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// Frequencies are printed with all their bits.
// CHECK-LABEL: func @exact_frequencies
// CHECK:         lm.rope_table frequencies [0.215443462, 3.16227779E-5] factor
func.func @exact_frequencies(%p: tensor<?xi32>, %a: tensor<?x2xf32>, %b: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %c, %s = lm.rope_table frequencies [0.215443462, 3.16227779E-5] factor 1.0 ins(%p : tensor<?xi32>)
      outs(%a, %b : tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>, tensor<?x2xf32>
  return %c : tensor<?x2xf32>
}

// CHECK-LABEL: func @phase
// CHECK:         lm.phase "linear" tiles(%{{.*}}) rows 128 panels 1 {
// CHECK:         ^bb0(%{{.*}}: index):
// CHECK:           lm.linear
// CHECK:         lm.barrier
func.func @phase(%n: index, %x: memref<?x40xf32>, %w: !lm.weight<48x40xf32>, %y: memref<?x48xf32>) {
  lm.phase "linear" tiles(%n) rows 128 panels 1 {
  ^bb0(%tile: index):
    lm.linear ins(%x, %w : memref<?x40xf32>, !lm.weight<48x40xf32>) outs(%y : memref<?x48xf32>)
  }
  lm.barrier
  return
}

// The parts of heads: some of their entries, two parts side by side, a matrix for each, and a rotation of their ends.
// CHECK-LABEL: func @heads
// CHECK:         lm.slice_heads heads 4 first 8 ins(%{{.*}} : tensor<?x48xf32>) outs(%{{.*}} : tensor<?x16xf32>) -> tensor<?x16xf32>
// CHECK:         lm.join_heads heads 4 ins(%{{.*}}, %{{.*}} : tensor<?x16xf32>, tensor<?x8xf32>) outs(%{{.*}} : tensor<?x48xf32>)
// CHECK:         lm.head_linear ins(%{{.*}}, %{{.*}} : tensor<?x48xf32>, tensor<4x20x12xf32>) outs(%{{.*}} : tensor<?x80xf32>)
// CHECK:         lm.rope heads 4 first 4 interleaved ins(
// CHECK:         lm.temperature interval 8192 scale 1.000000e-01 ins(%{{.*}}, %{{.*}} : tensor<?x48xf32>, tensor<?xi32>)
// CHECK:         lm.rms_norm epsilon {{[^ ]+}} heads 4 ins(%{{.*}} : tensor<?x48xf32>) outs(
func.func @heads(%x: tensor<?x48xf32>, %s: tensor<?x16xf32>, %k: tensor<?x8xf32>, %w: tensor<4x20x12xf32>, %o: tensor<?x80xf32>,
                 %c: tensor<?x4xf32>, %p: tensor<?xi32>) {
  %0 = lm.slice_heads heads 4 first 8 ins(%x : tensor<?x48xf32>) outs(%s : tensor<?x16xf32>) -> tensor<?x16xf32>
  %1 = lm.join_heads heads 4 ins(%0, %k : tensor<?x16xf32>, tensor<?x8xf32>) outs(%x : tensor<?x48xf32>) -> tensor<?x48xf32>
  %2 = lm.head_linear ins(%1, %w : tensor<?x48xf32>, tensor<4x20x12xf32>) outs(%o : tensor<?x80xf32>) -> tensor<?x80xf32>
  %3 = lm.rope heads 4 first 4 interleaved ins(%x, %c, %c : tensor<?x48xf32>, tensor<?x4xf32>, tensor<?x4xf32>)
      outs(%x : tensor<?x48xf32>) -> tensor<?x48xf32>
  %4 = lm.temperature interval 8192 scale 0.1 ins(%x, %p : tensor<?x48xf32>, tensor<?xi32>) outs(%x : tensor<?x48xf32>) -> tensor<?x48xf32>
  %5 = lm.rms_norm epsilon 1.0e-5 heads 4 ins(%x : tensor<?x48xf32>) outs(%x : tensor<?x48xf32>) -> tensor<?x48xf32>
  return
}

// A latent cache has keys alone; attention may begin with a sink.
// CHECK-LABEL: lm.cache @latent layers [0] heads 1 size 48 values 32 latent block 32 chunk 64 : f32
lm.cache @latent layers [0] heads 1 size 48 values 32 latent block 32 chunk 64 : f32
// CHECK-LABEL: func @latent_attention
// CHECK:         lm.cache_append @latent[%{{.*}}] of %{{.*}} ins(%{{.*}} : tensor<?x48xf32>)
// CHECK:         lm.attention @latent[%{{.*}}] of %{{.*}} scale {{.*}} ins(%{{.*}} : tensor<?x192xf32>) sinks(%{{.*}} : tensor<4xf32>) outs(%{{.*}} : tensor<?x128xf32>)
func.func @latent_attention(%batch: !lm.batch, %layer: index, %k: tensor<?x48xf32>, %q: tensor<?x192xf32>, %s: tensor<4xf32>,
                            %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  lm.cache_append @latent[%layer] of %batch ins(%k : tensor<?x48xf32>)
  %y = lm.attention @latent[%layer] of %batch scale 0.28 ins(%q : tensor<?x192xf32>) sinks(%s : tensor<4xf32>)
      outs(%o : tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// Each row chooses the positions that it attends to.
// CHECK-LABEL: lm.cache @index layers [0] heads 1 size 32 values 32 latent block 32 : f32
lm.cache @index layers [0] heads 1 size 32 values 32 latent block 32 : f32
// CHECK-LABEL: lm.cache @indexed layers [0] heads 1 size 48 values 32 latent indexed block 32 : f32
lm.cache @indexed layers [0] heads 1 size 48 values 32 latent indexed block 32 : f32
// CHECK-LABEL: func @chosen
// CHECK:         lm.layer_norm epsilon {{[^ ]+}} ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x32xf32>, tensor<32xf32>, tensor<32xf32>) outs(
// CHECK:         lm.choose_keys @index[%{{.*}}] of %{{.*}} scale {{[^ ]+}} context 4096 ins(%{{.*}}, %{{.*}} : tensor<?x128xf32>, tensor<?x4xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x9xi32>) -> tensor<?x9xi32>
// CHECK:         lm.attention @indexed[%{{.*}}] of %{{.*}} scale {{[^ ]+}} ins(%{{.*}} : tensor<?x192xf32>) chosen(%{{.*}} : tensor<?x9xi32>) outs(
func.func @chosen(%batch: !lm.batch, %layer: index, %x: tensor<?x32xf32>, %n: tensor<32xf32>, %qi: tensor<?x128xf32>, %a: tensor<?x4xf32>,
                  %c: tensor<?x9xi32>, %q: tensor<?x192xf32>, %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %k = lm.layer_norm epsilon 1.0e-6 ins(%x, %n, %n : tensor<?x32xf32>, tensor<32xf32>, tensor<32xf32>) outs(%x : tensor<?x32xf32>) -> tensor<?x32xf32>
  %chosen = lm.choose_keys @index[%layer] of %batch scale 0.01 context 4096 ins(%qi, %a : tensor<?x128xf32>, tensor<?x4xf32>)
      outs(%c : tensor<?x9xi32>) -> tensor<?x9xi32>
  %y = lm.attention @indexed[%layer] of %batch scale 0.28 ins(%q : tensor<?x192xf32>) chosen(%chosen : tensor<?x9xi32>)
      outs(%o : tensor<?x128xf32>) -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// What CPUs do of a step on a device, on both sides.
// CHECK-LABEL: func @part_of_device
// CHECK:         lm.run_part 1[%{{.*}}] of %{{.*}} ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x40xbf16>, tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
func.func @part_of_device(%batch: !lm.batch, %layer: index, %x: tensor<?x40xbf16>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
                          %o: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = lm.run_part 1[%layer] of %batch ins(%x, %e, %w : tensor<?x40xbf16>, tensor<?x2xi32>, tensor<?x2xf32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
// CHECK-LABEL: func @part_of_host
// CHECK:         lm.part_number %{{.*}}
// CHECK:         lm.part_layer %{{.*}}
// CHECK:         lm.part_rows 0 of %{{.*}} : tensor<?x40xbf16>
// CHECK:         lm.part_rows 3 of %{{.*}} : memref<?x40xf32>
func.func @part_of_host(%batch: !lm.batch) -> (index, index, tensor<?x40xbf16>, memref<?x40xf32>) {
  %part = lm.part_number %batch
  %layer = lm.part_layer %batch
  %x = lm.part_rows 0 of %batch : tensor<?x40xbf16>
  %to = lm.part_rows 3 of %batch : memref<?x40xf32>
  return %part, %layer, %x, %to : index, index, tensor<?x40xbf16>, memref<?x40xf32>
}

// CHECK-LABEL: lm.tensor @bias : tensor<3x40xi64> from "layers.0.bias"
lm.tensor @bias : tensor<3x40xi64> from "layers.0.bias"
// CHECK: lm.tensor @placed : tensor<i1> from "flag" offset 4096
lm.tensor @placed : tensor<i1> from "flag" offset 4096

// CHECK-LABEL: func @graph_ops
func.func @graph_ops(%batch: !lm.batch) {
  // CHECK: %[[N:.*]] = lm.dimension %{{.*}} "batch_size"
  %n = lm.dimension %batch "batch_size"
  // CHECK: lm.graph_input %{{.*}} "x"(%[[N]]) : tensor<?x40xf32>
  %x = lm.graph_input %batch "x"(%n) : tensor<?x40xf32>
  // CHECK: lm.graph_input %{{.*}} "flag"() : memref<i1>
  %f = lm.graph_input %batch "flag"() : memref<i1>
  // CHECK: lm.load_tensor @bias : tensor<3x40xi64>
  %b = lm.load_tensor @bias : tensor<3x40xi64>
  // CHECK: lm.graph_output %{{.*}} "y"(%[[N]]) : memref<?x40xf32>
  %y = lm.graph_output %batch "y"(%n) : memref<?x40xf32>
  // CHECK: lm.set_output_size %{{.*}} "y" dimension 1 to %[[N]]
  lm.set_output_size %batch "y" dimension 1 to %n
  return
}

// Attention in pieces: a tile goes round those of its rows, or each is a tile's and others put them together.
// CHECK-LABEL: lm.cache @pieces layers [0] heads 2 size 24 values 16 rows block 32 : bf16
lm.cache @pieces layers [0] heads 2 size 24 values 16 rows block 32 : bf16
// CHECK-LABEL: func @attend_pieces
// CHECK:         lm.attend_tiles @pieces[%{{.*}}] of %{{.*}} scale {{[^ ]+}} piece 64 pieces 3 ins(%{{.*}} : memref<?x96xbf16>) sinks(%{{.*}} : memref<4xf32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}} : memref<?x64xbf16>, memref<?x64xf32>)
// CHECK:         lm.attend_pieces @pieces[%{{.*}}] of %{{.*}} scale {{[^ ]+}} piece 64 pieces 3 most %{{.*}} ins(%{{.*}} : memref<?x96xbf16>)
// CHECK-SAME:      outs(%{{.*}} : memref<?x216xf32>)
// CHECK:         lm.join_pieces @pieces of %{{.*}} piece 64 pieces 3 ins(%{{.*}} : memref<?x216xf32>) sinks(%{{.*}} : memref<4xf32>) outs(
func.func @attend_pieces(%batch: !lm.batch, %layer: index, %most: index, %q: memref<?x96xbf16>, %s: memref<4xf32>, %o: memref<?x64xbf16>,
                  %r: memref<?x64xf32>, %p: memref<?x216xf32>) {
  lm.attend_tiles @pieces[%layer] of %batch scale 0.28 piece 64 pieces 3 ins(%q : memref<?x96xbf16>) sinks(%s : memref<4xf32>)
      outs(%o, %r : memref<?x64xbf16>, memref<?x64xf32>)
  lm.attend_pieces @pieces[%layer] of %batch scale 0.28 piece 64 pieces 3 most %most ins(%q : memref<?x96xbf16>)
      outs(%p : memref<?x216xf32>)
  lm.join_pieces @pieces of %batch piece 64 pieces 3 ins(%p : memref<?x216xf32>) sinks(%s : memref<4xf32>)
      outs(%o : memref<?x64xbf16>)
  return
}
