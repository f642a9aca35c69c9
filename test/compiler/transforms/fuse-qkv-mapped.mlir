// RUN: moe-opt %s --lm-fuse-qkv=mapped=true --verify-diagnostics
// Weights that are read where the checkpoint has them cannot be joined.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{the products of the same rows by a, b are not one: in the checkpoint's files their weights lie apart}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}
