// RUN: moe-opt %s --lm-pack-weights=mapped --verify-diagnostics
// expected-error @below {{is made of 2 stored tensors, which mapped weights cannot be; use --weights=pack}}
lm.weight @both : !lm.weight<8x4xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, stored = f32>, #lm.piece<pattern = "b", rows = 4, stored = f32>]
func.func @step(%x: tensor<2x4xf32>) -> tensor<2x8xf32> {
  %w = lm.load_weight @both : !lm.weight<8x4xf32>
  %i = tensor.empty() : tensor<2x8xf32>
  %y = lm.linear ins(%x, %w : tensor<2x4xf32>, !lm.weight<8x4xf32>) outs(%i : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}
