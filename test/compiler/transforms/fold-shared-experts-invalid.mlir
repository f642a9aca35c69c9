// RUN: moe-opt %s --split-input-file --moe-fold-shared-experts --verify-diagnostics
// Each reason for which a shared expert stays as it is.

// Experts of width 8 do not make one of 20.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<20x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 20, stored = f32>]
lm.weight @shared.up : !lm.weight<20x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 20, stored = f32>]
lm.weight @shared.down : !lm.weight<16x20xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @width(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<20x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<20x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x20xf32>
  %i = tensor.empty(%layer) : tensor<?x20xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<20x16xf32>) outs(%i : tensor<?x20xf32>) -> tensor<?x20xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<20x16xf32>) outs(%i : tensor<?x20xf32>) -> tensor<?x20xf32>
  // expected-remark @below {{this shared expert is not folded: its width of 20 is no multiple of the experts' width of 8}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x20xf32>, tensor<?x20xf32>) outs(%i : tensor<?x20xf32>) -> tensor<?x20xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x20xf32>, !lm.weight<16x20xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// The weights are stored as different types.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xbf16> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = bf16>]
lm.weight @shared.up : !lm.weight<24x16xbf16> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = bf16>]
lm.weight @shared.down : !lm.weight<16x24xbf16> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = bf16>]
func.func @type(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xbf16>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xbf16>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xbf16>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xbf16>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xbf16>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: its weight shared.gate is stored as another type than that of the experts}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xbf16>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// The weights belong to different layers.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @layers(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: its weight shared.gate belongs to other layers than that of the experts}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// The weights are those of different layers.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @layer(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>, %other: index)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%other] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%other] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%other] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: its weight shared.gate belongs to other layers than that of the experts}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// A weight is loaded twice.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @weight_used(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> (tensor<?x16xf32>, !lm.weight<16x24xf32>) {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: one of its weights, or of the experts', has another user}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %again = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y, %again : tensor<?x16xf32>, !lm.weight<16x24xf32>
}

// -----

// A product is used twice.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @product_used(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> (tensor<?x16xf32>, tensor<?x24xf32>) {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: lm.linear has another user}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y, %g : tensor<?x16xf32>, tensor<?x24xf32>
}

// -----

// The experts' output is used twice.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @experts_used(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> (tensor<?x16xf32>, tensor<?x16xf32>) {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: moe.expert_ffn has another user}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y, %routed : tensor<?x16xf32>, tensor<?x16xf32>
}

// -----

// A product accumulates.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @accumulates(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: lm.linear accumulates}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear accumulate ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// The shared expert sees other tokens.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @tokens(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>, %other: tensor<?x16xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%other, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%other, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: it multiplies other tokens than the experts do}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// A product has a bias.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @bias(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>, %b: !lm.weight<24xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) bias(%b : !lm.weight<24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: it has a bias}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// A weight is made of two tensors.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.a", rows = 12, stored = f32>, #lm.piece<pattern = "{l}.b", rows = 12, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @pieces(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<24x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<24x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x24xf32>
  %i = tensor.empty(%layer) : tensor<?x24xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<24x16xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  // expected-remark @below {{this shared expert is not folded: its weight shared.up is made of several stored tensors}}
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// Of two kinds of layers with the same weights one cannot be folded, so that both stay; the remark is at that one.
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 8, stored = f32>]
lm.weight @shared.up : !lm.weight<8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 8, stored = f32>]
lm.weight @shared.down : !lm.weight<16x8xf32> layers [0, 1, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @two_kinds_of_layers(%first: i1, %layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>)
    -> tensor<?x16xf32> {
  %y = scf.if %first -> tensor<?x16xf32> {
    %wg0 = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
    %wu0 = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
    %wd0 = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
    %routed0 = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
        experts(%wg0, %wu0, %wd0 : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    %sg0 = lm.load_weight @shared.gate[%layer] : !lm.weight<8x16xf32>
    %su0 = lm.load_weight @shared.up[%layer] : !lm.weight<8x16xf32>
    %sd0 = lm.load_weight @shared.down[%layer] : !lm.weight<16x8xf32>
    %i0 = tensor.empty(%layer) : tensor<?x8xf32>
    %g0 = lm.linear ins(%x, %sg0 : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i0 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %u0 = lm.linear ins(%x, %su0 : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i0 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %a0 = moe.gated_activation silu ins(%g0, %u0 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%i0 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %d0 = lm.linear ins(%a0, %sd0 : tensor<?x8xf32>, !lm.weight<16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    %y0 = lm.add ins(%routed0, %d0 : tensor<?x16xf32>, tensor<?x16xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    scf.yield %y0 : tensor<?x16xf32>
  } else {
    %wg1 = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
    %wu1 = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
    %wd1 = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
    %routed1 = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
        experts(%wg1, %wu1, %wd1 : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    %sg1 = lm.load_weight @shared.gate[%layer] : !lm.weight<8x16xf32>
    %su1 = lm.load_weight @shared.up[%layer] : !lm.weight<8x16xf32>
    %sd1 = lm.load_weight @shared.down[%layer] : !lm.weight<16x8xf32>
    %i1 = tensor.empty(%layer) : tensor<?x8xf32>
    %g1 = lm.linear ins(%x, %sg1 : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i1 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %u1 = lm.linear ins(%x, %su1 : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i1 : tensor<?x8xf32>) -> tensor<?x8xf32>
    // expected-remark @below {{this shared expert is not folded: lm.linear accumulates}}
    %a1 = moe.gated_activation silu ins(%g1, %u1 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%i1 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %d1 = lm.linear accumulate ins(%a1, %sd1 : tensor<?x8xf32>, !lm.weight<16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    %y1 = lm.add ins(%d1, %routed1 : tensor<?x16xf32>, tensor<?x16xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    scf.yield %y1 : tensor<?x16xf32>
  }
  return %y : tensor<?x16xf32>
}
