// RUN: moe-opt %s --lm-raise-linear | FileCheck %s
// Products with tensors of the model become products with weights.

// CHECK: lm.weight @w_columns : !lm.weight<24x40xf32> layers [] from [#lm.piece<pattern = "model.w", rows = 24, transposed = true, stored = f32>]
// CHECK: lm.weight @w_rows : !lm.weight<40x24xf32> layers [] from [#lm.piece<pattern = "model.w", rows = 40, stored = f32>]
lm.tensor @w : tensor<40x24xf32> from "model.w"
lm.tensor @half : tensor<40x24xf16> from "model.half"

// Of the columns of the tensor; what it is added to is zero.
// CHECK-LABEL: func @columns
// CHECK:         %[[E:.*]] = tensor.empty
// CHECK:         %[[W:.*]] = lm.load_weight @w_columns
// CHECK:         lm.linear ins(%{{.*}}, %[[W]] : tensor<?x40xf32>, !lm.weight<24x40xf32>) outs(%{{.*}} : tensor<?x24xf32>)
func.func @columns(%x: tensor<?x40xf32>, %e: tensor<?x24xf32>) -> tensor<?x24xf32> {
  %zero = arith.constant 0.0 : f32
  %w = lm.load_tensor @w : tensor<40x24xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<?x24xf32>) -> tensor<?x24xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x40xf32>, tensor<40x24xf32>) outs(%z : tensor<?x24xf32>) -> tensor<?x24xf32>
  return %y : tensor<?x24xf32>
}

// Of its rows, with several dimensions of rows, added to what is there.
// CHECK-LABEL: func @rows
// CHECK:         %[[X:.*]] = tensor.collapse_shape %{{.*}} {{\[}}[0, 1], [2]] : tensor<?x?x24xf32> into tensor<?x24xf32>
// CHECK:         lm.linear accumulate ins(%[[X]], %{{.*}} : tensor<?x24xf32>, !lm.weight<40x24xf32>)
// CHECK:         tensor.expand_shape
func.func @rows(%x: tensor<?x?x24xf32>, %i: tensor<?x?x40xf32>) -> tensor<?x?x40xf32> {
  %w = lm.load_tensor @w : tensor<40x24xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(a, b, n, k) -> (a, b, k)>, affine_map<(a, b, n, k) -> (n, k)>, affine_map<(a, b, n, k) -> (a, b, n)>],
                       iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
      ins(%x, %w : tensor<?x?x24xf32>, tensor<40x24xf32>) outs(%i : tensor<?x?x40xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %c, %p : f32
    linalg.yield %s : f32
  } -> tensor<?x?x40xf32>
  return %y : tensor<?x?x40xf32>
}

// Other types stay what they are.
// CHECK-LABEL: func @others
// CHECK:         linalg.matmul
func.func @others(%x: tensor<?x40xf16>, %i: tensor<?x24xf16>) -> tensor<?x24xf16> {
  %w = lm.load_tensor @half : tensor<40x24xf16>
  %y = linalg.matmul ins(%x, %w : tensor<?x40xf16>, tensor<40x24xf16>) outs(%i : tensor<?x24xf16>) -> tensor<?x24xf16>
  return %y : tensor<?x24xf16>
}
