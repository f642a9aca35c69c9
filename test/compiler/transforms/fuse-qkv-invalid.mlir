// RUN: moe-opt %s --split-input-file --lm-fuse-qkv --verify-diagnostics
// RUN: moe-opt %s --split-input-file --lm-fuse-qkv 2>/dev/null | FileCheck %s
// Each reason for which products of the same rows stay apart.

// The weights are stored as different types.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xbf16> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = bf16>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xbf16>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: their weights are stored as different types}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xbf16>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// The weights are of different layers.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: their weights belong to different layers}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// A bias is added to one of them.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
lm.weight @c : !lm.weight<8xf32> layers [0, 1] from [#lm.piece<pattern = "c.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  %c = lm.load_weight @c[%layer] : !lm.weight<8xf32>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: one of them has a bias}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) bias(%c : !lm.weight<8xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// The biases are stored as different types.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
lm.weight @c : !lm.weight<8xf32> layers [0, 1] from [#lm.piece<pattern = "c.{l}", rows = 8, stored = f32>]
lm.weight @d : !lm.weight<8xbf16> layers [0, 1] from [#lm.piece<pattern = "d.{l}", rows = 8, stored = bf16>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  %c = lm.load_weight @c[%layer] : !lm.weight<8xf32>
  %d = lm.load_weight @d[%layer] : !lm.weight<8xbf16>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: their weights are stored as different types}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) bias(%c : !lm.weight<8xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) bias(%d : !lm.weight<8xbf16>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// A weight is multiplied twice.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index, %y: tensor<4x16xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: the weight of one of them has another user}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %r = lm.linear ins(%y, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%q : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %r : tensor<4x8xf32>, tensor<4x8xf32>
}

// -----

// A weight is loaded a second time, alone: the two others become one.
// CHECK: lm.weight @b_c : !lm.weight<16x16xf32>
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
lm.weight @c : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "c.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  %c = lm.load_weight @c[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: one of their weights is loaded in more places than the other}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %r = lm.linear ins(%x, %c : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q, %r : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>
}
func.func @elsewhere(%layer: index) -> !lm.weight<8x16xf32> {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  return %a : !lm.weight<8x16xf32>
}

// -----

// Two places multiply by the weights in different orders.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "b.{l}", rows = 8, stored = f32>]
func.func @case(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{products of the same rows, by a, b, stay apart: not every place that loads their weights multiplies the same rows by all of them, in this order}}
  %p = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}
func.func @other_order(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %layer: index) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  %a = lm.load_weight @a[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @b[%layer] : !lm.weight<8x16xf32>
  // expected-remark @below {{products of the same rows, by b, a, stay apart: not every place that loads their weights multiplies the same rows by all of them, in this order}}
  %p = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %q = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %p, %q : tensor<4x8xf32>, tensor<4x8xf32>
}
