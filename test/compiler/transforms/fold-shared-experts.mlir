// RUN: moe-opt %s --split-input-file --moe-fold-shared-experts | FileCheck %s
// RUN: moe-opt %s --split-input-file --moe-fold-shared-experts=mapped 2>&1 | FileCheck %s --check-prefix=MAPPED
// Weights that stay in the checkpoint's files cannot follow the experts'.
// MAPPED:      remark: this shared expert is not folded: in the checkpoint's files its weights lie apart from the experts'
// MAPPED-NOT:  moe.pick_shared

// A shared expert three times as wide as an expert becomes three experts that every token picks.

// Each weight takes in the shared one's rows, or for the down product its columns.
// CHECK:       lm.weight @gate_shared.gate : !lm.weight<7x8x16xf32> layers [0, 2]
// CHECK-SAME:    from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, experts = 4, stored = f32>,
// CHECK-SAME:      #lm.piece<pattern = "{l}.shared.gate", rows = 8, rows_per_expert = 8, first_expert = 4, experts = 3, stored = f32>]
// CHECK:       lm.weight @up_shared.up : !lm.weight<7x8x16xf32>
// CHECK:       lm.weight @down_shared.down : !lm.weight<7x16x8xf32>
// CHECK-SAME:    from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, experts = 4, stored = f32>,
// CHECK-SAME:      #lm.piece<pattern = "{l}.shared.down", rows = 16, side_by_side = true, first_expert = 4, experts = 3, stored = f32>]
// CHECK-NOT:   lm.weight

// The layer keeps its tokens, its picks come before the shared ones, and the gate goes into their weights.
// CHECK-LABEL: func @gated(
// CHECK-SAME:    %[[LAYER:[^:]+]]: index, %[[X:[^:]+]]: tensor<?x16xf32>, %[[E:[^:]+]]: tensor<?x2xi32>, %[[W:[^:]+]]: tensor<?x2xf32>
// CHECK-SAME:    %[[GATE:[^:]+]]: tensor<?x1xf32>
// CHECK:         %[[PICKS:[^:]+]]:2 = moe.pick_shared first_expert 4 ins(%[[E]], %[[W]] : {{.*}}) gate(%[[GATE]] : tensor<?x1xf32>)
// CHECK-SAME:      -> tensor<?x5xi32>, tensor<?x5xf32>
// CHECK:         %[[DOWN:.+]] = lm.load_weight @down_shared.down[%[[LAYER]]] : <7x16x8xf32>
// CHECK:         %[[Y:.+]] = moe.expert_ffn silu inner f32 ins(%[[X]], %[[PICKS]]#0, %[[PICKS]]#1
// CHECK-SAME:      experts({{.*}}, %[[DOWN]] : !lm.weight<7x8x16xf32>, !lm.weight<7x8x16xf32>, !lm.weight<7x16x8xf32>)
// CHECK:         return %[[Y]]
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @gated(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
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
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// Without a gate, and with the summands the other way round.
// CHECK-LABEL: func @whole(
// CHECK-NOT:     lm.add
// CHECK:         moe.pick_shared first_expert 4 ins(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>) outs(
// CHECK:         moe.expert_ffn
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.up", rows = 8, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 24, stored = f32>]
lm.weight @shared.up : !lm.weight<24x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 24, stored = f32>]
lm.weight @shared.down : !lm.weight<16x24xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @whole(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>)
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
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x24xf32>, tensor<?x24xf32>) outs(%i : tensor<?x24xf32>) -> tensor<?x24xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x24xf32>, !lm.weight<16x24xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%d, %routed : tensor<?x16xf32>, tensor<?x16xf32>) outs(%d : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// Experts that share a tensor stay where they are in it; one of their width is one more.
// CHECK:       lm.weight @up_shared.up : !lm.weight<5x8x16xf32> layers [0, 2]
// CHECK-SAME:    from [#lm.piece<pattern = "{l}.gate_up", rows = 8, first_row = 8, rows_per_expert = 16, experts = 4, stored = f32>,
// CHECK-SAME:      #lm.piece<pattern = "{l}.shared.up", rows = 8, rows_per_expert = 8, first_expert = 4, experts = 1, stored = f32>]
// CHECK-LABEL: func @stacked(
// CHECK:         moe.pick_shared {{.*}} -> tensor<?x3xi32>, tensor<?x3xf32>
lm.weight @gate : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.gate", rows = 8, stored = f32>]
lm.weight @up : !lm.weight<4x8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.gate_up", rows = 8, first_row = 8, rows_per_expert = 16, stored = f32>]
lm.weight @down : !lm.weight<4x16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.{e}.down", rows = 16, stored = f32>]
lm.weight @shared.gate : !lm.weight<8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.gate", rows = 8, stored = f32>]
lm.weight @shared.up : !lm.weight<8x16xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.up", rows = 8, stored = f32>]
lm.weight @shared.down : !lm.weight<16x8xf32> layers [0, 2] from [#lm.piece<pattern = "{l}.shared.down", rows = 16, stored = f32>]
func.func @stacked(%layer: index, %x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %gate: tensor<?x1xf32>)
    -> tensor<?x16xf32> {
  %wg = lm.load_weight @gate[%layer] : !lm.weight<4x8x16xf32>
  %wu = lm.load_weight @up[%layer] : !lm.weight<4x8x16xf32>
  %wd = lm.load_weight @down[%layer] : !lm.weight<4x16x8xf32>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sg = lm.load_weight @shared.gate[%layer] : !lm.weight<8x16xf32>
  %su = lm.load_weight @shared.up[%layer] : !lm.weight<8x16xf32>
  %sd = lm.load_weight @shared.down[%layer] : !lm.weight<16x8xf32>
  %i = tensor.empty(%layer) : tensor<?x8xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %u = lm.linear ins(%x, %su : tensor<?x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x8xf32>, tensor<?x8xf32>) outs(%i : tensor<?x8xf32>) -> tensor<?x8xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x8xf32>, !lm.weight<16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %sc = lm.scale_rows ins(%d, %gate : tensor<?x16xf32>, tensor<?x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %sc : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// What is added to the experts is no gated layer.
// CHECK-LABEL: func @other_summand(
// CHECK-NOT:     moe.pick_shared
// CHECK:         lm.add
func.func @other_summand(%x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x16xf32>, %g: !lm.weight<4x8x16xf32>,
    %d: !lm.weight<4x16x8xf32>, %o: !lm.weight<16x16xf32>) -> tensor<?x16xf32> {
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %g, %d : !lm.weight<4x8x16xf32>, !lm.weight<4x8x16xf32>, !lm.weight<4x16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %p = lm.linear ins(%x, %o : tensor<?x16xf32>, !lm.weight<16x16xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = lm.add ins(%routed, %p : tensor<?x16xf32>, tensor<?x16xf32>) outs(%routed : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// -----

// Codes bring their scales along.
// CHECK:       lm.weight @gate_shared.gate : !lm.weight<6x128x64xf8E4M3FN> layers []
// CHECK-SAME:    pattern = "{e}.gate", {{.*}} scales = <pattern = "{e}.gate.s", rows = 128, columns = 128>>,
// CHECK-SAME:    pattern = "shared.gate", {{.*}} experts = 2, stored = f8E4M3FN, scales = <pattern = "shared.gate.s", rows = 128, columns = 128>>]
// CHECK:       lm.weight @down_shared.down : !lm.weight<6x64x128xf8E4M3FN> layers []
// CHECK-SAME:    pattern = "shared.down", {{.*}} side_by_side = true, {{.*}} scales = <pattern = "shared.down.s", rows = 128, columns = 128>>]
lm.weight @gate : !lm.weight<4x128x64xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "{e}.gate", rows = 128, stored = f8E4M3FN, scales = <pattern = "{e}.gate.s", rows = 128, columns = 128>>]
lm.weight @up : !lm.weight<4x128x64xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "{e}.up", rows = 128, stored = f8E4M3FN, scales = <pattern = "{e}.up.s", rows = 128, columns = 128>>]
lm.weight @down : !lm.weight<4x64x128xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "{e}.down", rows = 64, stored = f8E4M3FN, scales = <pattern = "{e}.down.s", rows = 128, columns = 128>>]
lm.weight @shared.gate : !lm.weight<256x64xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "shared.gate", rows = 256, stored = f8E4M3FN, scales = <pattern = "shared.gate.s", rows = 128, columns = 128>>]
lm.weight @shared.up : !lm.weight<256x64xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "shared.up", rows = 256, stored = f8E4M3FN, scales = <pattern = "shared.up.s", rows = 128, columns = 128>>]
lm.weight @shared.down : !lm.weight<64x256xf8E4M3FN> layers [] from
    [#lm.piece<pattern = "shared.down", rows = 64, stored = f8E4M3FN, scales = <pattern = "shared.down.s", rows = 128, columns = 128>>]
func.func @codes(%n: index, %x: tensor<?x64xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %h: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %wg = lm.load_weight @gate : !lm.weight<4x128x64xf8E4M3FN>
  %wu = lm.load_weight @up : !lm.weight<4x128x64xf8E4M3FN>
  %wd = lm.load_weight @down : !lm.weight<4x64x128xf8E4M3FN>
  %routed = moe.expert_ffn silu inner f32 ins(%x, %e, %w : tensor<?x64xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%wg, %wu, %wd : !lm.weight<4x128x64xf8E4M3FN>, !lm.weight<4x128x64xf8E4M3FN>, !lm.weight<4x64x128xf8E4M3FN>) outs(%h : tensor<?x64xf32>) -> tensor<?x64xf32>
  %sg = lm.load_weight @shared.gate : !lm.weight<256x64xf8E4M3FN>
  %su = lm.load_weight @shared.up : !lm.weight<256x64xf8E4M3FN>
  %sd = lm.load_weight @shared.down : !lm.weight<64x256xf8E4M3FN>
  %i = tensor.empty(%n) : tensor<?x256xf32>
  %g = lm.linear ins(%x, %sg : tensor<?x64xf32>, !lm.weight<256x64xf8E4M3FN>) outs(%i : tensor<?x256xf32>) -> tensor<?x256xf32>
  %u = lm.linear ins(%x, %su : tensor<?x64xf32>, !lm.weight<256x64xf8E4M3FN>) outs(%i : tensor<?x256xf32>) -> tensor<?x256xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x256xf32>, tensor<?x256xf32>) outs(%i : tensor<?x256xf32>) -> tensor<?x256xf32>
  %d = lm.linear ins(%a, %sd : tensor<?x256xf32>, !lm.weight<64x256xf8E4M3FN>) outs(%h : tensor<?x64xf32>) -> tensor<?x64xf32>
  %y = lm.add ins(%routed, %d : tensor<?x64xf32>, tensor<?x64xf32>) outs(%routed : tensor<?x64xf32>) -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// -----

// Two kinds of layers with the same weights: one weight serves both.
// CHECK:       lm.weight @gate_shared.gate : !lm.weight<5x8x16xf32> layers [0, 1, 2]
// CHECK:       lm.weight @up_shared.up :
// CHECK:       lm.weight @down_shared.down :
// CHECK-NOT:   lm.weight @
// CHECK-LABEL: func @two_kinds_of_layers(
// CHECK:         scf.if
// CHECK:           %[[P:[^:]+]]:2 = moe.pick_shared
// CHECK:           lm.load_weight @gate_shared.gate[
// CHECK:           moe.expert_ffn silu inner f32 ins(%{{.*}}, %[[P]]#0, %[[P]]#1
// CHECK-NEXT:      scf.yield
// CHECK-NEXT:    } else {
// CHECK:           %[[Q:[^:]+]]:2 = moe.pick_shared
// CHECK:           lm.load_weight @gate_shared.gate[
// CHECK:           moe.expert_ffn silu inner f32 ins(%{{.*}}, %[[Q]]#0, %[[Q]]#1
// CHECK-NEXT:      scf.yield
// CHECK-NOT:     lm.linear
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
    %a1 = moe.gated_activation silu ins(%g1, %u1 : tensor<?x8xf32>, tensor<?x8xf32>) outs(%i1 : tensor<?x8xf32>) -> tensor<?x8xf32>
    %d1 = lm.linear ins(%a1, %sd1 : tensor<?x8xf32>, !lm.weight<16x8xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    %y1 = lm.add ins(%d1, %routed1 : tensor<?x16xf32>, tensor<?x16xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
    scf.yield %y1 : tensor<?x16xf32>
  }
  return %y : tensor<?x16xf32>
}
