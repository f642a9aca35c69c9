// RUN: moe-opt %s --moe-fuse-experts 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=WHY <%t
// An expert layer is recognised from its combination upwards; what does not match in one thing stays as it is, and a remark says why.

// WHY-NOT:       remark:
// Dispatch, products, activation and combination become one layer with their operands.
// CHECK-LABEL: func @layer(
// CHECK-SAME:    %[[X:[^:]+]]: tensor<?x40xf32>, %[[G:[^:]+]]: !lm.weight<8x28x40xf32>, %[[U:[^:]+]]: !lm.weight<8x28x40xf32>,
// CHECK-SAME:    %[[D:[^:]+]]: !lm.weight<8x40x28xf32>, %[[E:[^:]+]]: tensor<?x2xi32>, %[[W:[^:]+]]: tensor<?x2xf32>
// CHECK-SAME:    %{{[^:]+}}: tensor<?x28xf32>, %[[OUT:[^:]+]]: tensor<?x40xf32>
// CHECK:         %[[Y:.+]] = moe.expert_ffn silu inner f32 ins(%[[X]], %[[E]], %[[W]] :
// CHECK-SAME:      experts(%[[G]], %[[U]], %[[D]] :
// CHECK-SAME:      outs(%[[OUT]] :
// CHECK-NEXT:    return %[[Y]]
func.func @layer(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// A layer that accumulates still does, and its inner rows keep their element type.
// CHECK-LABEL: func @accumulates(
// CHECK:         moe.expert_ffn silu accumulate inner bf16
func.func @accumulates(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>,
    %h: tensor<?x28xbf16>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%h : tensor<?x28xbf16>) -> tensor<?x28xbf16>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xbf16>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine accumulate ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The down product has a second user.
// WHY:           remark: its input is not a down product of its own, over sorted rows
// CHECK-LABEL: func @down_used(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @down_used(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> (tensor<?x40xf32>, tensor<?x40xf32>) {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y, %d : tensor<?x40xf32>, tensor<?x40xf32>
}

// The down product picks rows of its own.
// WHY:           remark: its input is not a down product of its own, over sorted rows
// CHECK-LABEL: func @down_gathers(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @down_gathers(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// Gate and up are added, not joined by an activation.
// WHY:           remark: its input is not an activation of its own
// CHECK-LABEL: func @no_activation(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @no_activation(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = lm.add ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The activation has a second user.
// WHY:           remark: its input is not an activation of its own
// CHECK-LABEL: func @activation_used(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @activation_used(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> (tensor<?x40xf32>, tensor<?x28xf32>) {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y, %a : tensor<?x40xf32>, tensor<?x28xf32>
}

// The gate product has a second user.
// WHY:           remark: gate and up are not products of its own
// CHECK-LABEL: func @gate_used(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @gate_used(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> (tensor<?x40xf32>, tensor<?x28xf32>) {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y, %g : tensor<?x40xf32>, tensor<?x28xf32>
}

// The up product has a second user.
// WHY:           remark: gate and up are not products of its own
// CHECK-LABEL: func @up_used(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @up_used(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> (tensor<?x40xf32>, tensor<?x28xf32>) {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y, %u : tensor<?x40xf32>, tensor<?x28xf32>
}

// Gate and up multiply different tokens.
// WHY:           remark: gate and up multiply different tokens
// CHECK-LABEL: func @other_tokens(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @other_tokens(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>,
    %x2: tensor<?x40xf32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x2, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The tiles are those of no dispatch.
// WHY:           remark: its tiles are not those of a moe.dispatch
// CHECK-LABEL: func @no_dispatch(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @no_dispatch(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %t : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %t : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %t : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The tiles of the up product are others than those of the down product.
// WHY:           remark: its rows are not those of the down product's dispatch
// CHECK-LABEL: func @other_tiles(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @other_tiles(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %t : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The rows of the up product are others than those of the dispatch.
// WHY:           remark: its rows are not those of the down product's dispatch
// CHECK-LABEL: func @other_rows(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @other_rows(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%r : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// The combination looks up its picks elsewhere.
// WHY:           remark: its picks are not those of the down product's dispatch
// CHECK-LABEL: func @other_picks(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @other_picks(%x: tensor<?x40xf32>, %wg: !lm.weight<8x28x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>,
    %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %g = moe.grouped_matmul ins(%x, %wg, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %u = moe.grouped_matmul ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %a = moe.gated_activation silu ins(%g, %u : tensor<?x28xf32>, tensor<?x28xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%a, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %r, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// What is combined is no product at all.
// WHY:           remark: its input is not a down product of its own, over sorted rows
// CHECK-LABEL: func @no_product(
// CHECK-NOT:     moe.expert_ffn
// CHECK:         moe.combine
func.func @no_product(%d: tensor<?x40xf32>, %inverse: tensor<?xi32>, %w: tensor<?x2xf32>, %o: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}

// A product that has its activation itself is a layer without a gate.
// CHECK-LABEL: func @ungated(
// CHECK-SAME:    %[[X:[^:]+]]: tensor<?x40xf32>, %[[U:[^:]+]]: !lm.weight<8x28x40xf32>, %[[D:[^:]+]]: !lm.weight<8x40x28xf32>
// CHECK:         moe.expert_ffn relu inner f32 ins(%[[X]], {{.*}} experts(%[[U]], %[[D]] : {{.*}}) biases(%{{.*}}, %{{.*}} :
// CHECK-NEXT:    return
func.func @ungated(%x: tensor<?x40xf32>, %wu: !lm.weight<8x28x40xf32>, %wd: !lm.weight<8x40x28xf32>, %bu: !lm.weight<8x28x1xf32>, %bd: !lm.weight<8x40x1xf32>,
    %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %i: tensor<?x28xf32>, %o: tensor<?x40xf32>, %r: tensor<?xi32>, %f: tensor<9xi32>, %t: tensor<?x3xi32>)
    -> tensor<?x40xf32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%r, %r, %f, %t : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  %u = moe.grouped_matmul activation relu ins(%x, %wu, %tiles : tensor<?x40xf32>, !lm.weight<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      bias(%bu : !lm.weight<8x28x1xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %d = moe.grouped_matmul ins(%u, %wd, %tiles : tensor<?x28xf32>, !lm.weight<8x40x28xf32>, tensor<?x3xi32>)
      bias(%bd : !lm.weight<8x40x1xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>) outs(%o : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %y : tensor<?x40xf32>
}
