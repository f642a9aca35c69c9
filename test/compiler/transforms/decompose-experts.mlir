// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(moe-decompose-experts{tile-rows=32}))' | FileCheck %s
// The plan is made for the tokens of the layer; the combination keeps adding onto the stream.
// CHECK-LABEL: func @layer(
// CHECK-SAME:    %[[X:[^:]*]]: tensor<?x16xf32>, %[[E:[^:]*]]: tensor<?x2xi32>, %[[W:[^:]*]]: tensor<?x2xf32>
// CHECK:         %[[PLAN:.*]]:4 = moe.dispatch tile_rows 32 ins(%[[E]]
// CHECK:         %[[INNER:.*]] = moe.grouped_glu silu ins(%[[X]], {{.*}} rows(%[[PLAN]]#0
// CHECK-SAME:      -> tensor<?x12xbf16>
// CHECK:         %[[DOWN:.*]] = moe.grouped_matmul ins(%[[INNER]]
// CHECK:         moe.combine accumulate ins(%[[DOWN]], %[[PLAN]]#1, %[[W]]
func.func @layer(%x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %g: tensor<8x12x16xf32>, %d: tensor<8x16x12xf32>, %h: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.expert_ffn silu accumulate inner bf16 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>) experts(%g, %g, %d : tensor<8x12x16xf32>, tensor<8x12x16xf32>, tensor<8x16x12xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// An inner result of i8 is quantised in blocks of the down weight's groups.
// CHECK-LABEL: func @quantized(
// CHECK:         %[[INNER:.*]] = moe.grouped_glu silu {{.*}} -> tensor<?x12xf32>
// CHECK:         %[[BLOCKS:.*]] = lm.quantize block 32 ins(%[[INNER]] : tensor<?x12xf32>) {{.*}} -> tensor<?x40xi8>
// CHECK:         moe.grouped_matmul ins(%[[BLOCKS]],
lm.weight @down : !lm.weight<8x16x12xf32> layers [] from [#lm.piece<pattern = "d.{e}", rows = 16, stored = f32>] quantized int4
func.func @quantized(%x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %g: tensor<8x12x16xf32>, %h: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %d = lm.load_weight @down : !lm.weight<8x16x12xf32>
  %y = moe.expert_ffn silu inner i8 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>) experts(%g, %g, %d : tensor<8x12x16xf32>, tensor<8x12x16xf32>, !lm.weight<8x16x12xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}

// Without a gate the first product has the activation.
// CHECK-LABEL: func @ungated(
// CHECK:         %[[INNER:.*]] = moe.grouped_matmul activation relu ins(%{{.*}}, {{.*}} rows({{.*}} bias(
// CHECK:         moe.grouped_matmul ins(%[[INNER]], {{.*}} bias(
func.func @ungated(%x: tensor<?x16xf32>, %e: tensor<?x2xi32>, %w: tensor<?x2xf32>, %u: tensor<8x12x16xf32>, %d: tensor<8x16x12xf32>, %b: tensor<8x12x1xf32>, %c: tensor<8x16x1xf32>, %h: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %y = moe.expert_ffn relu inner f32 ins(%x, %e, %w : tensor<?x16xf32>, tensor<?x2xi32>, tensor<?x2xf32>) experts(%u, %d : tensor<8x12x16xf32>, tensor<8x16x12xf32>) biases(%b, %c : tensor<8x12x1xf32>, tensor<8x16x1xf32>) outs(%h : tensor<?x16xf32>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}
