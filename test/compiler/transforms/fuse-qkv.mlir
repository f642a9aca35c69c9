// RUN: moe-opt %s --lm-fuse-qkv | FileCheck %s
// RUN: moe-opt %s --lm-fuse-qkv=mapped 2>&1 | FileCheck %s --check-prefix=MAPPED
// MAPPED: remark: products of the same rows, by q, k, stay apart: in the checkpoint's files their weights lie apart
// MAPPED: lm.weight @q :
// MAPPED: lm.weight @k :
// Products of the same rows become one, by a weight of all their pieces, whose columns are cut apart.
// CHECK:       lm.weight @q_k : !lm.weight<48x16xf32> layers [0, 1]
// CHECK-SAME:    from [#lm.piece<pattern = "q.{l}", rows = 32, stored = f32>, #lm.piece<pattern = "k.{l}", rows = 16, stored = f32>]
lm.weight @q : !lm.weight<32x16xf32> layers [0, 1] from [#lm.piece<pattern = "q.{l}", rows = 32, stored = f32>]
lm.weight @k : !lm.weight<16x16xf32> layers [0, 1] from [#lm.piece<pattern = "k.{l}", rows = 16, stored = f32>]
// CHECK-LABEL: func @products(
// CHECK:         %[[W:.*]] = lm.load_weight @q_k[%{{.*}}]
// CHECK:         %[[ALL:.*]] = lm.linear ins(%{{.*}}, %[[W]]
// CHECK:         tensor.extract_slice %[[ALL]][0, 0] [4, 32] [1, 1]
// CHECK:         tensor.extract_slice %[[ALL]][0, 32] [4, 16] [1, 1]
func.func @products(%x: tensor<4x16xf32>, %layer: index) -> (tensor<4x32xf32>, tensor<4x16xf32>) {
  %a = lm.load_weight @q[%layer] : !lm.weight<32x16xf32>
  %b = lm.load_weight @k[%layer] : !lm.weight<16x16xf32>
  %i = tensor.empty() : tensor<4x32xf32>
  %j = tensor.empty() : tensor<4x16xf32>
  %q = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<32x16xf32>) outs(%i : tensor<4x32xf32>) -> tensor<4x32xf32>
  %k = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<16x16xf32>) outs(%j : tensor<4x16xf32>) -> tensor<4x16xf32>
  return %q, %k : tensor<4x32xf32>, tensor<4x16xf32>
}

// A router stays apart, whatever reads the same rows: its product keeps f32. Products that are alike are merged all the same.
lm.weight @router : !lm.weight<8x16xf32> layers [0, 1] from [#lm.piece<pattern = "router.{l}", rows = 8, stored = f32>]
lm.weight @half : !lm.weight<32x16xf16> layers [0, 1] from [#lm.piece<pattern = "half.{l}", rows = 32, stored = f16>]
lm.weight @gate : !lm.weight<32x16xf32> layers [0, 1] from [#lm.piece<pattern = "gate.{l}", rows = 32, stored = f32>]
lm.weight @up : !lm.weight<32x16xf32> layers [0, 1] from [#lm.piece<pattern = "up.{l}", rows = 32, stored = f32>]
// CHECK-LABEL: func @router_apart(
// CHECK:         lm.linear {{.*}} !lm.weight<8x16xf32>
// CHECK:         lm.linear {{.*}} !lm.weight<32x16xf16>
// CHECK:         lm.linear {{.*}} !lm.weight<64x16xf32>
// CHECK-NOT:     lm.linear
func.func @router_apart(%x: tensor<4x16xf32>, %layer: index)
    -> (tensor<4x8xf32>, tensor<4x32xf32>, tensor<4x32xf32>, tensor<4x32xf32>) {
  %a = lm.load_weight @router[%layer] : !lm.weight<8x16xf32>
  %b = lm.load_weight @half[%layer] : !lm.weight<32x16xf16>
  %c = lm.load_weight @gate[%layer] : !lm.weight<32x16xf32>
  %d = lm.load_weight @up[%layer] : !lm.weight<32x16xf32>
  %i = tensor.empty() : tensor<4x8xf32>
  %j = tensor.empty() : tensor<4x32xf32>
  %l = lm.linear ins(%x, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %s = moe.score softmax ins(%l : tensor<4x8xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
  %h = lm.linear ins(%x, %b : tensor<4x16xf32>, !lm.weight<32x16xf16>) outs(%j : tensor<4x32xf32>) -> tensor<4x32xf32>
  %g = lm.linear ins(%x, %c : tensor<4x16xf32>, !lm.weight<32x16xf32>) outs(%j : tensor<4x32xf32>) -> tensor<4x32xf32>
  %u = lm.linear ins(%x, %d : tensor<4x16xf32>, !lm.weight<32x16xf32>) outs(%j : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %s, %h, %g, %u : tensor<4x8xf32>, tensor<4x32xf32>, tensor<4x32xf32>, tensor<4x32xf32>
}

// Two kinds of layers with the same weights: one weight serves both.
lm.weight @a : !lm.weight<8x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "a.{l}", rows = 8, stored = f32>]
lm.weight @b : !lm.weight<16x16xf32> layers [0, 1, 2] from [#lm.piece<pattern = "b.{l}", rows = 16, stored = f32>]
// CHECK-NOT:   lm.weight @{{[ab]}} :
// CHECK-LABEL: func @two_kinds_of_layers(
// CHECK:         scf.for %[[I:[^ ]+]]
// CHECK:           lm.load_weight @a_b[%[[I]]] : <24x16xf32>
// CHECK:           lm.linear {{.*}} !lm.weight<24x16xf32>
// CHECK-NOT:       lm.linear
// CHECK:         scf.for %[[J:[^ ]+]]
// CHECK:           lm.load_weight @a_b[%[[J]]] : <24x16xf32>
// CHECK:           lm.linear {{.*}} !lm.weight<24x16xf32>
// CHECK-NOT:       lm.linear
func.func @two_kinds_of_layers(%x: tensor<4x16xf32>, %i: tensor<4x8xf32>, %j: tensor<4x16xf32>) -> tensor<4x16xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %y = scf.for %l = %c0 to %c1 step %c1 iter_args(%s = %x) -> tensor<4x16xf32> {
    %a = lm.load_weight @a[%l] : !lm.weight<8x16xf32>
    %b = lm.load_weight @b[%l] : !lm.weight<16x16xf32>
    %p = lm.linear ins(%s, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
    %q = lm.linear ins(%s, %b : tensor<4x16xf32>, !lm.weight<16x16xf32>) outs(%j : tensor<4x16xf32>) -> tensor<4x16xf32>
    scf.yield %q : tensor<4x16xf32>
  }
  %z = scf.for %l = %c1 to %c3 step %c1 iter_args(%s = %y) -> tensor<4x16xf32> {
    %a = lm.load_weight @a[%l] : !lm.weight<8x16xf32>
    %b = lm.load_weight @b[%l] : !lm.weight<16x16xf32>
    %p = lm.linear ins(%s, %a : tensor<4x16xf32>, !lm.weight<8x16xf32>) outs(%i : tensor<4x8xf32>) -> tensor<4x8xf32>
    %q = lm.linear ins(%s, %b : tensor<4x16xf32>, !lm.weight<16x16xf32>) outs(%j : tensor<4x16xf32>) -> tensor<4x16xf32>
    scf.yield %q : tensor<4x16xf32>
  }
  return %z : tensor<4x16xf32>
}
