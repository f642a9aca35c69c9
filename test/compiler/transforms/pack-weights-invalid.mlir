// RUN: moe-opt %s --lm-pack-weights=mapped --split-input-file --verify-diagnostics
// expected-error @below {{is made of 2 stored tensors, and mapped weights are used as they lie; use --weights=pack}}
lm.weight @both : !lm.weight<8x4xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, stored = f32>, #lm.piece<pattern = "b", rows = 4, stored = f32>]
func.func @step(%x: tensor<2x4xf32>) -> tensor<2x8xf32> {
  %w = lm.load_weight @both : !lm.weight<8x4xf32>
  %i = tensor.empty() : tensor<2x8xf32>
  %y = lm.linear ins(%x, %w : tensor<2x4xf32>, !lm.weight<8x4xf32>) outs(%i : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}

// -----

// expected-error @below {{has experts side by side in a stored row, and mapped weights are used as they lie; use --weights=pack}}
lm.weight @down : !lm.weight<2x4x3xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, side_by_side = true, stored = f32>]
func.func @step(%x: tensor<2x3xf32>, %tiles: tensor<3x3xi32>, %i: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %w = lm.load_weight @down : !lm.weight<2x4x3xf32>
  %y = moe.grouped_matmul ins(%x, %w, %tiles : tensor<2x3xf32>, !lm.weight<2x4x3xf32>, tensor<3x3xi32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----

// expected-error @below {{is stored transposed, and mapped weights are used as they lie; use --weights=pack}}
lm.weight @w : !lm.weight<4x3xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, transposed = true, stored = f32>]
func.func @step(%x: tensor<2x3xf32>, %i: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %w = lm.load_weight @w : !lm.weight<4x3xf32>
  %y = lm.linear ins(%x, %w : tensor<2x3xf32>, !lm.weight<4x3xf32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----

// expected-error @below {{is every so many rows of a stored tensor, and mapped weights are used as they lie; use --weights=pack}}
lm.weight @w : !lm.weight<4x3xf32> layers [] from [#lm.piece<pattern = "a", rows = 4, row_step = 2, stored = f32>]
func.func @step(%x: tensor<2x3xf32>, %i: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %w = lm.load_weight @w : !lm.weight<4x3xf32>
  %y = lm.linear ins(%x, %w : tensor<2x3xf32>, !lm.weight<4x3xf32>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----

// expected-error @below {{is stored as f8E4M3FN with scales, and mapped weights are used as they lie; use --weights=pack}}
lm.weight @codes : !lm.weight<4x8xf8E4M3FN> layers [] from [#lm.piece<pattern = "a", rows = 4, stored = f8E4M3FN, scales = <pattern = "s">>]
func.func @step(%x: tensor<2x8xf32>, %i: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %w = lm.load_weight @codes : !lm.weight<4x8xf8E4M3FN>
  %y = lm.linear ins(%x, %w : tensor<2x8xf32>, !lm.weight<4x8xf8E4M3FN>) outs(%i : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
