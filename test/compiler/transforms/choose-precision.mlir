// RUN: moe-opt %s --lm-choose-precision="activations=bf16 cache=bf16" --cse --canonicalize | FileCheck %s
// RUN: moe-opt %s --lm-choose-precision=activations=bf16 | FileCheck %s --check-prefix=F32-CACHE
// RUN: moe-opt %s --lm-choose-precision=cache=bf16 | FileCheck %s --check-prefix=F32-QUERIES
// RUN: not moe-opt %s --lm-choose-precision=activations=f8 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: 'f8' is neither f32 nor bf16

// Queries are rounded where keys and values are.
// CHECK:        lm.cache @attention {{.*}} : bf16
// CHECK:        lm.attention {{.*}} ins(%{{.*}} : tensor<4x16xbf16>)
// F32-CACHE:         lm.cache @attention {{.*}} : f32
// F32-CACHE:         lm.attention {{.*}} ins(%{{.*}} : tensor<4x16xf32>)
// F32-QUERIES: lm.cache @attention {{.*}} : bf16
// F32-QUERIES: lm.attention {{.*}} ins(%{{.*}} : tensor<4x16xf32>)
lm.cache @attention layers [0] heads 2 size 8 block 32 : f32
func.func @attend(%layer: index, %batch: !lm.batch, %q: tensor<4x16xf32>) -> tensor<4x16xf32> {
  %i = tensor.empty() : tensor<4x16xf32>
  %o = lm.attention @attention[%layer] of %batch scale 1.0 ins(%q : tensor<4x16xf32>) outs(%i : tensor<4x16xf32>) -> tensor<4x16xf32>
  return %o : tensor<4x16xf32>
}

// The norm rounds its result for the product; the router keeps the f32 one.
// CHECK-LABEL: func @norm(
// CHECK-DAG:     %[[WIDE:.*]] = lm.rms_norm {{.*}} -> tensor<4x16xf32>
// CHECK-DAG:     %[[NARROW:.*]] = lm.rms_norm {{.*}} -> tensor<4x16xbf16>
// CHECK:         moe.gate softmax ins(%[[WIDE]],
// CHECK:         lm.linear ins(%[[NARROW]],
func.func @norm(%x: tensor<4x16xf32>, %n: tensor<16xf32>, %r: tensor<8x16xf32>, %w: tensor<8x16xf32>) -> (tensor<4x2xi32>, tensor<4x2xf32>, tensor<4x8xf32>) {
  %i = tensor.empty() : tensor<4x16xf32>
  %y = lm.rms_norm epsilon 1.0e-5 ins(%x, %n : tensor<4x16xf32>, tensor<16xf32>) outs(%i : tensor<4x16xf32>) -> tensor<4x16xf32>
  %a = tensor.empty() : tensor<4x2xi32>
  %b = tensor.empty() : tensor<4x2xf32>
  %e, %s = moe.gate softmax ins(%y, %r : tensor<4x16xf32>, tensor<8x16xf32>) outs(%a, %b : tensor<4x2xi32>, tensor<4x2xf32>) -> tensor<4x2xi32>, tensor<4x2xf32>
  %c = tensor.empty() : tensor<4x8xf32>
  %l = lm.linear ins(%y, %w : tensor<4x16xf32>, tensor<8x16xf32>) outs(%c : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %e, %s, %l : tensor<4x2xi32>, tensor<4x2xf32>, tensor<4x8xf32>
}

// What cannot round its result is rounded by an op of its own.
// CHECK-LABEL: func @argument(
// CHECK:         %[[ROUNDED:.*]] = lm.round
// CHECK:         lm.linear ins(%[[ROUNDED]],
func.func @argument(%x: tensor<4x16xf32>, %w: tensor<8x16xf32>) -> tensor<4x8xf32> {
  %c = tensor.empty() : tensor<4x8xf32>
  %l = lm.linear ins(%x, %w : tensor<4x16xf32>, tensor<8x16xf32>) outs(%c : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %l : tensor<4x8xf32>
}
