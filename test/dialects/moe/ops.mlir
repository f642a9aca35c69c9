// RUN: moe-opt %s | moe-opt | FileCheck %s
// RUN: moe-opt --emit-bytecode %s | moe-opt | FileCheck %s
// The example of every op, as text and as bytecode.

// CHECK-LABEL: func @score
// CHECK:         moe.score softmax ins(%{{.*}} : tensor<?x8xf32>) outs(%{{.*}} : tensor<?x8xf32>) -> tensor<?x8xf32>
func.func @score(%logits: tensor<?x8xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %s = moe.score softmax ins(%logits : tensor<?x8xf32>) outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %s : tensor<?x8xf32>
}

// CHECK-LABEL: func @score_functions
// CHECK:         moe.score none
// CHECK:         moe.score sigmoid
func.func @score_functions(%logits: memref<?x8xf32>, %scores: memref<?x8xf32>) {
  moe.score none ins(%logits : memref<?x8xf32>) outs(%scores : memref<?x8xf32>)
  moe.score sigmoid ins(%logits : memref<?x8xf32>) outs(%scores : memref<?x8xf32>)
  return
}

// CHECK-LABEL: func @route
// CHECK:         moe.route renormalize ins(%{{.*}} : tensor<?x8xf32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
func.func @route(%s: tensor<?x8xf32>, %a: tensor<?x2xi32>, %b: tensor<?x2xf32>) -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %e, %w = moe.route renormalize ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>)
      -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// Without the word, the weights stay as they are.
// CHECK-LABEL: func @route_as_is
// CHECK:         moe.route ins(
func.func @route_as_is(%s: memref<?x8xf32>, %a: memref<?x2xi32>, %b: memref<?x2xf32>) {
  moe.route ins(%s : memref<?x8xf32>) outs(%a, %b : memref<?x2xi32>, memref<?x2xf32>)
  return
}

// CHECK-LABEL: func @route_of_groups
// CHECK:         moe.route renormalize epsilon {{.*}} scale 2.500000e+00 groups <4 of 8 by best_two> ins(%{{.*}} : tensor<?x256xf32>)
// CHECK-SAME:      correction(%{{.*}} : tensor<256xf32>) outs(
// CHECK:         moe.route softmax ins(
// CHECK:         moe.route sigmoid groups <1 of 2 by best> ins(
func.func @route_of_groups(%s: tensor<?x256xf32>, %c: tensor<256xf32>, %a: tensor<?x8xi32>, %b: tensor<?x8xf32>) {
  %e, %w = moe.route renormalize epsilon 1.0e-20 scale 2.5 groups <4 of 8 by best_two> ins(%s : tensor<?x256xf32>)
      correction(%c : tensor<256xf32>) outs(%a, %b : tensor<?x8xi32>, tensor<?x8xf32>) -> tensor<?x8xi32>, tensor<?x8xf32>
  %e1, %w1 = moe.route softmax ins(%s : tensor<?x256xf32>) outs(%a, %b : tensor<?x8xi32>, tensor<?x8xf32>)
      -> tensor<?x8xi32>, tensor<?x8xf32>
  %e2, %w2 = moe.route sigmoid groups <1 of 2 by best> ins(%s : tensor<?x256xf32>)
      outs(%a, %b : tensor<?x8xi32>, tensor<?x8xf32>) -> tensor<?x8xi32>, tensor<?x8xf32>
  return
}

// CHECK-LABEL: func @gate
// CHECK:         moe.gate softmax renormalize ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<8x40xf32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
func.func @gate(%x: tensor<?x40xf32>, %r: tensor<8x40xf32>, %a: tensor<?x2xi32>, %b: tensor<?x2xf32>)
    -> (tensor<?x2xi32>, tensor<?x2xf32>) {
  %e, %w = moe.gate softmax renormalize ins(%x, %r : tensor<?x40xf32>, tensor<8x40xf32>)
      outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  return %e, %w : tensor<?x2xi32>, tensor<?x2xf32>
}

// CHECK-LABEL: func @pick_shared
// CHECK:         moe.pick_shared first_expert 8 ins(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>) gate(%{{.*}} : tensor<?x1xf32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}} : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
func.func @pick_shared(%e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %g: tensor<?x1xf32>, %a: tensor<?x4xi32>, %b: tensor<?x4xf32>)
    -> (tensor<?x4xi32>, tensor<?x4xf32>) {
  %e2, %w2 = moe.pick_shared first_expert 8 ins(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>) gate(%g : tensor<?x1xf32>)
      outs(%a, %b : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
  return %e2, %w2 : tensor<?x4xi32>, tensor<?x4xf32>
}

// Without a gate, the weights are 1.
// CHECK-LABEL: func @pick_shared_whole
// CHECK:         moe.pick_shared first_expert 8 ins(%{{.*}}, %{{.*}} : memref<?x2xi32>, memref<?x2xf32>) outs(
func.func @pick_shared_whole(%e: memref<?x2xi32>, %w: memref<?x2xf32>, %a: memref<?x3xi32>, %b: memref<?x3xf32>) {
  moe.pick_shared first_expert 8 ins(%e, %w : memref<?x2xi32>, memref<?x2xf32>) outs(%a, %b : memref<?x3xi32>, memref<?x3xf32>)
  return
}

// CHECK-LABEL: func @dispatch
// CHECK:         moe.dispatch tile_rows 64 ins(%{{.*}} : tensor<?x2xi32>)
// CHECK-SAME:      outs(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
// CHECK-SAME:      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
func.func @dispatch(%e: tensor<?x2xi32>, %a: tensor<?xi32>, %b: tensor<?xi32>, %c: tensor<9xi32>, %d: tensor<?x3xi32>)
    -> tensor<?x3xi32> {
  %rows, %inverse, %offsets, %tiles = moe.dispatch tile_rows 64 ins(%e : tensor<?x2xi32>)
      outs(%a, %b, %c, %d : tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>)
      -> tensor<?xi32>, tensor<?xi32>, tensor<9xi32>, tensor<?x3xi32>
  return %tiles : tensor<?x3xi32>
}

// CHECK-LABEL: func @grouped_matmul
// CHECK:         moe.grouped_matmul ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
// CHECK-SAME:      rows(%{{.*}} : tensor<?xi32>) outs(%{{.*}} : tensor<?x28xf32>) -> tensor<?x28xf32>
func.func @grouped_matmul(%x: tensor<?x40xf32>, %w: tensor<8x28x40xf32>, %tiles: tensor<?x3xi32>, %rows: tensor<?xi32>,
                          %init: tensor<?x28xf32>) -> tensor<?x28xf32> {
  %up = moe.grouped_matmul ins(%x, %w, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
      rows(%rows : tensor<?xi32>) outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
  return %up : tensor<?x28xf32>
}

// A weight may be a handle to a stored one, and rows may be the op's own.
// CHECK-LABEL: func @grouped_matmul_handle
// CHECK:         moe.grouped_matmul ins(%{{.*}}, %{{.*}}, %{{.*}} : memref<?x40xbf16>, !lm.weight<8x28x40xbf16>, memref<?x3xi32>)
// CHECK-SAME:      outs(%{{.*}} : memref<?x28xf32>)
func.func @grouped_matmul_handle(%x: memref<?x40xbf16>, %w: !lm.weight<8x28x40xbf16>, %tiles: memref<?x3xi32>,
                                 %out: memref<?x28xf32>) {
  moe.grouped_matmul ins(%x, %w, %tiles : memref<?x40xbf16>, !lm.weight<8x28x40xbf16>, memref<?x3xi32>)
      outs(%out : memref<?x28xf32>)
  return
}

// CHECK-LABEL: func @gated_activation
// CHECK:         moe.gated_activation silu ins(%{{.*}}, %{{.*}} : tensor<?x28xf32>, tensor<?x28xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x28xf32>) -> tensor<?x28xf32>
func.func @gated_activation(%gate: tensor<?x28xf32>, %up: tensor<?x28xf32>, %init: tensor<?x28xf32>) -> tensor<?x28xf32> {
  %a = moe.gated_activation silu ins(%gate, %up : tensor<?x28xf32>, tensor<?x28xf32>)
      outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
  return %a : tensor<?x28xf32>
}

// CHECK-LABEL: func @grouped_glu
// CHECK:         moe.grouped_glu silu
// CHECK-SAME:      ins(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
// CHECK-SAME:      rows(%{{.*}} : tensor<?xi32>) outs(%{{.*}} : tensor<?x28xf32>) -> tensor<?x28xf32>
func.func @grouped_glu(%x: tensor<?x40xf32>, %g: tensor<8x28x40xf32>, %u: tensor<8x28x40xf32>, %tiles: tensor<?x3xi32>,
                       %rows: tensor<?xi32>, %init: tensor<?x28xf32>) -> tensor<?x28xf32> {
  %a = moe.grouped_glu silu ins(%x, %g, %u, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
      rows(%rows : tensor<?xi32>) outs(%init : tensor<?x28xf32>) -> tensor<?x28xf32>
  return %a : tensor<?x28xf32>
}

// CHECK-LABEL: func @combine
// CHECK:         moe.combine ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
// CHECK:         moe.combine accumulate ins(
func.func @combine(%d: tensor<?x40xf32>, %inverse: tensor<?xi32>, %w: tensor<?x2xf32>, %init: tensor<?x40xf32>)
    -> tensor<?x40xf32> {
  %y = moe.combine ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>)
      outs(%init : tensor<?x40xf32>) -> tensor<?x40xf32>
  %z = moe.combine accumulate ins(%d, %inverse, %w : tensor<?x40xf32>, tensor<?xi32>, tensor<?x2xf32>)
      outs(%y : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %z : tensor<?x40xf32>
}

// CHECK-LABEL: func @expert_ffn
// CHECK:         moe.expert_ffn silu inner f32 ins(%{{.*}}, %{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
// CHECK-SAME:      experts(%{{.*}}, %{{.*}}, %{{.*}} : tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<8x40x28xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<?x40xf32>) -> tensor<?x40xf32>
// CHECK:         moe.expert_ffn silu accumulate inner bf16
func.func @expert_ffn(%x: tensor<?x40xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %g: tensor<8x28x40xf32>,
                      %u: tensor<8x28x40xf32>, %d: tensor<8x40x28xf32>, %init: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %y = moe.expert_ffn silu inner f32
      ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %u, %d : tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<8x40x28xf32>)
      outs(%init : tensor<?x40xf32>) -> tensor<?x40xf32>
  %z = moe.expert_ffn silu accumulate inner bf16
      ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %u, %d : tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<8x40x28xf32>)
      outs(%y : tensor<?x40xf32>) -> tensor<?x40xf32>
  return %z : tensor<?x40xf32>
}

// What an expert is given may be weighed, and each of its products may have a bias.
// CHECK-LABEL: func @biases
// CHECK:         moe.grouped_matmul {{.*}} rows({{.*}}) picks(%{{.*}}, %{{.*}} : tensor<?x2xi32>, tensor<?x2xf32>) bias(%{{.*}} : tensor<8x28x1xf32>)
// CHECK:         moe.grouped_glu silu limit 7.000000e+00 : f32 slope 1.702000e+00 : f32 shift 1.000000e+00 : f32 ins({{.*}} rows({{.*}}) picks({{.*}}) biases(
// CHECK:         moe.combine picked 2 ins(%{{.*}}, %{{.*}} : tensor<?x40xf32>, tensor<?xi32>) outs(
// CHECK:         moe.expert_ffn silu weigh_input inner f32 ins({{.*}}) experts({{.*}}) biases(%{{.*}}, %{{.*}}, %{{.*}} : {{.*}}) outs(
func.func @biases(%x: tensor<?x40xf32>, %g: tensor<8x28x40xf32>, %d: tensor<8x40x28xf32>, %tiles: tensor<?x3xi32>,
                  %rows: tensor<?xi32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %b: tensor<8x28x1xf32>,
                  %c: tensor<8x40x1xf32>, %i: tensor<?x28xf32>, %h: tensor<?x40xf32>) {
  %0 = moe.grouped_matmul ins(%x, %g, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      picks(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>) bias(%b : tensor<8x28x1xf32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %1 = moe.grouped_glu silu limit 7.0 : f32 slope 1.702 : f32 shift 1.0 : f32
      ins(%x, %g, %g, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>) rows(%rows : tensor<?xi32>)
      picks(%e, %w : tensor<?x2xi32>, tensor<?x2xf32>) biases(%b, %b : tensor<8x28x1xf32>, tensor<8x28x1xf32>)
      outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %2 = moe.combine picked 2 ins(%h, %rows : tensor<?x40xf32>, tensor<?xi32>) outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  %3 = moe.expert_ffn silu weigh_input inner f32 ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%g, %g, %d : tensor<8x28x40xf32>, tensor<8x28x40xf32>, tensor<8x40x28xf32>)
      biases(%b, %b, %c : tensor<8x28x1xf32>, tensor<8x28x1xf32>, tensor<8x40x1xf32>)
      outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  return
}

// A layer without a gate has an activation of its first product alone.
// CHECK-LABEL: func @ungated
// CHECK:         moe.grouped_matmul activation relu_squared ins(
// CHECK:         moe.expert_ffn gelu_tanh inner f32 ins({{.*}}) experts(%{{.*}}, %{{.*}} : tensor<8x28x40xf32>, tensor<8x40x28xf32>) outs(
// CHECK:         moe.expert_ffn identity inner f32 ins({{.*}}) experts({{.*}}) biases(%{{.*}}, %{{.*}} : tensor<8x28x1xf32>, tensor<8x40x1xf32>) outs(
func.func @ungated(%x: tensor<?x40xf32>, %u: tensor<8x28x40xf32>, %d: tensor<8x40x28xf32>, %tiles: tensor<?x3xi32>, %rows: tensor<?xi32>,
                   %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %b: tensor<8x28x1xf32>, %c: tensor<8x40x1xf32>, %i: tensor<?x28xf32>, %h: tensor<?x40xf32>) {
  %0 = moe.grouped_matmul activation relu_squared ins(%x, %u, %tiles : tensor<?x40xf32>, tensor<8x28x40xf32>, tensor<?x3xi32>)
      rows(%rows : tensor<?xi32>) outs(%i : tensor<?x28xf32>) -> tensor<?x28xf32>
  %1 = moe.expert_ffn gelu_tanh inner f32 ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%u, %d : tensor<8x28x40xf32>, tensor<8x40x28xf32>) outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  %2 = moe.expert_ffn identity inner f32 ins(%x, %e, %w : tensor<?x40xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
      experts(%u, %d : tensor<8x28x40xf32>, tensor<8x40x28xf32>) biases(%b, %c : tensor<8x28x1xf32>, tensor<8x40x1xf32>)
      outs(%h : tensor<?x40xf32>) -> tensor<?x40xf32>
  return
}

// CHECK-LABEL: func @prefer_higher
// CHECK:         moe.route renormalize prefer_higher ins(
// CHECK:         moe.gate softmax prefer_higher ins(
func.func @prefer_higher(%s: tensor<?x8xf32>, %x: tensor<?x40xf32>, %r: tensor<8x40xf32>, %a: tensor<?x2xi32>, %b: tensor<?x2xf32>) {
  %e, %w = moe.route renormalize prefer_higher ins(%s : tensor<?x8xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  %f, %v = moe.gate softmax prefer_higher ins(%x, %r : tensor<?x40xf32>, tensor<8x40xf32>) outs(%a, %b : tensor<?x2xi32>, tensor<?x2xf32>) -> tensor<?x2xi32>, tensor<?x2xf32>
  return
}
