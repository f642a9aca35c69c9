// RUN: moe-opt %s --lm-choose-precision=activations=bf16 --cse --canonicalize | FileCheck %s
// RUN: not moe-opt %s --lm-choose-precision=activations=f8 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: activations are to be 'f8', which is neither f32 nor bf16

// The cache holds what is multiplied.
// CHECK: lm.cache @attention {{.*}} : bf16
lm.cache @attention layers [0] heads 2 size 8 block 32 : f32

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
