// RUN: moe-opt %s --moe-raise-experts --split-input-file | FileCheck %s
// What is no layer of experts, or not proved to be one, stays, and the choice says why.

// One expert is missing.
// CHECK-LABEL: func @missing(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "of 2 experts there are not: 1"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @missing(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x1xf32>
  %ei = tensor.empty(%n) : tensor<?x1xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x1xf32>, tensor<?x1xi64>) -> tensor<?x1xf32>, tensor<?x1xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %shared = linalg.exp ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u0e = tensor.empty(%n) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%n) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m0e = tensor.empty(%n) : tensor<?xf32>
  %m0z = linalg.fill ins(%zero : f32) outs(%m0e : tensor<?xf32>) -> tensor<?xf32>
  %m0 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m0z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b0 = linalg.broadcast ins(%m0 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t0 = linalg.mul ins(%d0, %b0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y0 = linalg.add ins(%shared, %t0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y0 : tensor<?x4xf32>
}

// -----

// One expert has another activation.
// CHECK-LABEL: func @activation(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "expert 1 has another activation"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @activation(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x1xf32>
  %ei = tensor.empty(%n) : tensor<?x1xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x1xf32>, tensor<?x1xi64>) -> tensor<?x1xf32>, tensor<?x1xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %shared = linalg.exp ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u0e = tensor.empty(%n) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%n) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m0e = tensor.empty(%n) : tensor<?xf32>
  %m0z = linalg.fill ins(%zero : f32) outs(%m0e : tensor<?xf32>) -> tensor<?xf32>
  %m0 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m0z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b0 = linalg.broadcast ins(%m0 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t0 = linalg.mul ins(%d0, %b0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y0 = linalg.add ins(%shared, %t0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u1e = tensor.empty(%n) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%x, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.mul ins(%u1, %u1 : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%n) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m1e = tensor.empty(%n) : tensor<?xf32>
  %m1z = linalg.fill ins(%zero : f32) outs(%m1e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m1z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b1 = linalg.broadcast ins(%m1 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t1 = linalg.mul ins(%d1, %b1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y1 = linalg.add ins(%y0, %t1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// One expert reads another tensor.
// CHECK-LABEL: func @input(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "expert 1 reads another input"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @input(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x1xf32>
  %ei = tensor.empty(%n) : tensor<?x1xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x1xf32>, tensor<?x1xi64>) -> tensor<?x1xf32>, tensor<?x1xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %shared = linalg.exp ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u0e = tensor.empty(%n) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%n) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m0e = tensor.empty(%n) : tensor<?xf32>
  %m0z = linalg.fill ins(%zero : f32) outs(%m0e : tensor<?xf32>) -> tensor<?xf32>
  %m0 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m0z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b0 = linalg.broadcast ins(%m0 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t0 = linalg.mul ins(%d0, %b0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y0 = linalg.add ins(%shared, %t0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u1e = tensor.empty(%n) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%shared, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.max ins(%u1, %u1z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%n) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m1e = tensor.empty(%n) : tensor<?xf32>
  %m1z = linalg.fill ins(%zero : f32) outs(%m1e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m1z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b1 = linalg.broadcast ins(%m1 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t1 = linalg.mul ins(%d1, %b1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y1 = linalg.add ins(%y0, %t1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// Rows take the place of others.
// CHECK-LABEL: func @put(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "rows take the place of others, to which they are not added"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @put(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x2xf32>
  %ei = tensor.empty(%n) : tensor<?x2xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %c2 = arith.constant 2 : index
  %m = arith.muli %n, %c2 : index
  %found = tensor.empty(%m) : tensor<2x?xi64>
  %count = tensor.empty() : tensor<i64>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %k0 = tensor.empty(%n) : tensor<2x?xi1>
  %q0 = linalg.generic {indexing_maps = [affine_map<(k, t) -> (t, k)>, affine_map<(k, t) -> (k, t)>], iterator_types = ["parallel", "parallel"]}
      ins(%i : tensor<?x2xi64>) outs(%k0 : tensor<2x?xi1>) {
  ^bb0(%b: i64, %o: i1):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    linalg.yield %is : i1
  } -> tensor<2x?xi1>
  %f0, %n0 = linalg_ext.nonzero ins(%q0 : tensor<2x?xi1>) outs(%found, %count : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  %l0 = tensor.extract %n0[] : tensor<i64>
  %r0 = arith.index_cast %l0 : i64 to index
  %slot0 = tensor.extract_slice %f0[0, 0] [1, %r0] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %token0 = tensor.extract_slice %f0[1, 0] [1, %r0] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %g0 = tensor.empty(%r0) : tensor<?x4xf32>
  %x0 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%token0 : tensor<?xi64>) outs(%g0 : tensor<?x4xf32>) {
  ^bb0(%b: i64, %o: f32):
    %c = linalg.index 1 : index
    %t = arith.index_cast %b : i64 to index
    %y = tensor.extract %x[%t, %c] : tensor<?x4xf32>
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %u0e = tensor.empty(%r0) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x0, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%r0) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %t0 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%d0, %token0, %slot0 : tensor<?x4xf32>, tensor<?xi64>, tensor<?xi64>) outs(%g0 : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: i64, %k: i64, %o: f32):
    %t = arith.index_cast %b : i64 to index
    %c = arith.index_cast %k : i64 to index
    %w = tensor.extract %v[%t, %c] : tensor<?x2xf32>
    %y = arith.mulf %a, %w : f32
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %a0 = tensor.expand_shape %token0 [[0, 1]] output_shape [%r0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %y0 = linalg_ext.scatter add ins(%a0, %t0 : tensor<?x1xi64>, tensor<?x4xf32>) outs(%none : tensor<?x4xf32>) -> tensor<?x4xf32>
  %k1 = tensor.empty(%n) : tensor<2x?xi1>
  %q1 = linalg.generic {indexing_maps = [affine_map<(k, t) -> (t, k)>, affine_map<(k, t) -> (k, t)>], iterator_types = ["parallel", "parallel"]}
      ins(%i : tensor<?x2xi64>) outs(%k1 : tensor<2x?xi1>) {
  ^bb0(%b: i64, %o: i1):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    linalg.yield %is : i1
  } -> tensor<2x?xi1>
  %f1, %n1 = linalg_ext.nonzero ins(%q1 : tensor<2x?xi1>) outs(%found, %count : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  %l1 = tensor.extract %n1[] : tensor<i64>
  %r1 = arith.index_cast %l1 : i64 to index
  %slot1 = tensor.extract_slice %f1[0, 0] [1, %r1] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %token1 = tensor.extract_slice %f1[1, 0] [1, %r1] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %g1 = tensor.empty(%r1) : tensor<?x4xf32>
  %x1 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%token1 : tensor<?xi64>) outs(%g1 : tensor<?x4xf32>) {
  ^bb0(%b: i64, %o: f32):
    %c = linalg.index 1 : index
    %t = arith.index_cast %b : i64 to index
    %y = tensor.extract %x[%t, %c] : tensor<?x4xf32>
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %u1e = tensor.empty(%r1) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%x1, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.max ins(%u1, %u1z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%r1) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %t1 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%d1, %token1, %slot1 : tensor<?x4xf32>, tensor<?xi64>, tensor<?xi64>) outs(%g1 : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: i64, %k: i64, %o: f32):
    %t = arith.index_cast %b : i64 to index
    %c = arith.index_cast %k : i64 to index
    %w = tensor.extract %v[%t, %c] : tensor<?x2xf32>
    %y = arith.mulf %a, %w : f32
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %a1 = tensor.expand_shape %token1 [[0, 1]] output_shape [%r1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %y1 = linalg_ext.scatter none ins(%a1, %t1 : tensor<?x1xi64>, tensor<?x4xf32>) outs(%y0 : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// The first token's choice adds for all.
// CHECK-LABEL: func @token(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "a token is added what was chosen for another one"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @token(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x1xf32>
  %ei = tensor.empty(%n) : tensor<?x1xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x1xf32>, tensor<?x1xi64>) -> tensor<?x1xf32>, tensor<?x1xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %shared = linalg.exp ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u0e = tensor.empty(%n) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%n) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m0e = tensor.empty(%n) : tensor<?xf32>
  %m0z = linalg.fill ins(%zero : f32) outs(%m0e : tensor<?xf32>) -> tensor<?xf32>
  %m0 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (0, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m0z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b0 = linalg.broadcast ins(%m0 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t0 = linalg.mul ins(%d0, %b0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y0 = linalg.add ins(%shared, %t0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u1e = tensor.empty(%n) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%x, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.max ins(%u1, %u1z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%n) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m1e = tensor.empty(%n) : tensor<?xf32>
  %m1z = linalg.fill ins(%zero : f32) outs(%m1e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (0, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m1z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b1 = linalg.broadcast ins(%m1 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t1 = linalg.mul ins(%d1, %b1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y1 = linalg.add ins(%y0, %t1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// The slot is that of the other pick.
// CHECK-LABEL: func @slot(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "the weights are no tensor of tokens by picks"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @slot(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x2xf32>
  %ei = tensor.empty(%n) : tensor<?x2xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %c2 = arith.constant 2 : index
  %m = arith.muli %n, %c2 : index
  %found = tensor.empty(%m) : tensor<2x?xi64>
  %count = tensor.empty() : tensor<i64>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %k0 = tensor.empty(%n) : tensor<2x?xi1>
  %q0 = linalg.generic {indexing_maps = [affine_map<(k, t) -> (t, k)>, affine_map<(k, t) -> (k, t)>], iterator_types = ["parallel", "parallel"]}
      ins(%i : tensor<?x2xi64>) outs(%k0 : tensor<2x?xi1>) {
  ^bb0(%b: i64, %o: i1):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    linalg.yield %is : i1
  } -> tensor<2x?xi1>
  %f0, %n0 = linalg_ext.nonzero ins(%q0 : tensor<2x?xi1>) outs(%found, %count : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  %l0 = tensor.extract %n0[] : tensor<i64>
  %r0 = arith.index_cast %l0 : i64 to index
  %slot0 = tensor.extract_slice %f0[0, 0] [1, %r0] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %token0 = tensor.extract_slice %f0[1, 0] [1, %r0] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %g0 = tensor.empty(%r0) : tensor<?x4xf32>
  %x0 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%token0 : tensor<?xi64>) outs(%g0 : tensor<?x4xf32>) {
  ^bb0(%b: i64, %o: f32):
    %c = linalg.index 1 : index
    %t = arith.index_cast %b : i64 to index
    %y = tensor.extract %x[%t, %c] : tensor<?x4xf32>
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %u0e = tensor.empty(%r0) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x0, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%r0) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %t0 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%d0, %token0, %slot0 : tensor<?x4xf32>, tensor<?xi64>, tensor<?xi64>) outs(%g0 : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: i64, %k: i64, %o: f32):
    %t = arith.index_cast %b : i64 to index
    %c = arith.index_cast %k : i64 to index
    %w = tensor.extract %v[%t, %c0] : tensor<?x2xf32>
    %y = arith.mulf %a, %w : f32
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %a0 = tensor.expand_shape %token0 [[0, 1]] output_shape [%r0, 1] : tensor<?xi64> into tensor<?x1xi64>
  %y0 = linalg_ext.scatter add ins(%a0, %t0 : tensor<?x1xi64>, tensor<?x4xf32>) outs(%none : tensor<?x4xf32>) -> tensor<?x4xf32>
  %k1 = tensor.empty(%n) : tensor<2x?xi1>
  %q1 = linalg.generic {indexing_maps = [affine_map<(k, t) -> (t, k)>, affine_map<(k, t) -> (k, t)>], iterator_types = ["parallel", "parallel"]}
      ins(%i : tensor<?x2xi64>) outs(%k1 : tensor<2x?xi1>) {
  ^bb0(%b: i64, %o: i1):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    linalg.yield %is : i1
  } -> tensor<2x?xi1>
  %f1, %n1 = linalg_ext.nonzero ins(%q1 : tensor<2x?xi1>) outs(%found, %count : tensor<2x?xi64>, tensor<i64>) -> tensor<2x?xi64>, tensor<i64>
  %l1 = tensor.extract %n1[] : tensor<i64>
  %r1 = arith.index_cast %l1 : i64 to index
  %slot1 = tensor.extract_slice %f1[0, 0] [1, %r1] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %token1 = tensor.extract_slice %f1[1, 0] [1, %r1] [1, 1] : tensor<2x?xi64> to tensor<?xi64>
  %g1 = tensor.empty(%r1) : tensor<?x4xf32>
  %x1 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%token1 : tensor<?xi64>) outs(%g1 : tensor<?x4xf32>) {
  ^bb0(%b: i64, %o: f32):
    %c = linalg.index 1 : index
    %t = arith.index_cast %b : i64 to index
    %y = tensor.extract %x[%t, %c] : tensor<?x4xf32>
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %u1e = tensor.empty(%r1) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%x1, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.max ins(%u1, %u1z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%r1) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %t1 = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%d1, %token1, %slot1 : tensor<?x4xf32>, tensor<?xi64>, tensor<?xi64>) outs(%g1 : tensor<?x4xf32>) {
  ^bb0(%a: f32, %b: i64, %k: i64, %o: f32):
    %t = arith.index_cast %b : i64 to index
    %c = arith.index_cast %k : i64 to index
    %w = tensor.extract %v[%t, %c0] : tensor<?x2xf32>
    %y = arith.mulf %a, %w : f32
    linalg.yield %y : f32
  } -> tensor<?x4xf32>
  %a1 = tensor.expand_shape %token1 [[0, 1]] output_shape [%r1, 1] : tensor<?xi64> into tensor<?x1xi64>
  %y1 = linalg_ext.scatter add ins(%a1, %t1 : tensor<?x1xi64>, tensor<?x4xf32>) outs(%y0 : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// The smallest scores are chosen.
// CHECK-LABEL: func @smallest(
// CHECK:         linalg_ext.top_k {{.*}}{moec.not_raised = "the smallest scores are chosen"}
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @smallest(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x1xf32>
  %ei = tensor.empty(%n) : tensor<?x1xi64>
  %v, %i = linalg_ext.top_k smallest ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x1xf32>, tensor<?x1xi64>) -> tensor<?x1xf32>, tensor<?x1xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu0 = lm.load_tensor @u0 : tensor<4x6xf32>
  %wd0 = lm.load_tensor @d0 : tensor<6x4xf32>
  %wu1 = lm.load_tensor @u1 : tensor<4x6xf32>
  %wd1 = lm.load_tensor @d1 : tensor<6x4xf32>
  %shared = linalg.exp ins(%x : tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u0e = tensor.empty(%n) : tensor<?x6xf32>
  %u0z = linalg.fill ins(%zero : f32) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u0 = linalg.matmul ins(%x, %wu0 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u0z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p0 = linalg.max ins(%u0, %u0z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u0e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d0e = tensor.empty(%n) : tensor<?x4xf32>
  %d0z = linalg.fill ins(%zero : f32) outs(%d0e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d0 = linalg.matmul ins(%p0, %wd0 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d0z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m0e = tensor.empty(%n) : tensor<?xf32>
  %m0z = linalg.fill ins(%zero : f32) outs(%m0e : tensor<?xf32>) -> tensor<?xf32>
  %m0 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m0z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 0 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b0 = linalg.broadcast ins(%m0 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t0 = linalg.mul ins(%d0, %b0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y0 = linalg.add ins(%shared, %t0 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %u1e = tensor.empty(%n) : tensor<?x6xf32>
  %u1z = linalg.fill ins(%zero : f32) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %u1 = linalg.matmul ins(%x, %wu1 : tensor<?x4xf32>, tensor<4x6xf32>) outs(%u1z : tensor<?x6xf32>) -> tensor<?x6xf32>
  %p1 = linalg.max ins(%u1, %u1z : tensor<?x6xf32>, tensor<?x6xf32>) outs(%u1e : tensor<?x6xf32>) -> tensor<?x6xf32>
  %d1e = tensor.empty(%n) : tensor<?x4xf32>
  %d1z = linalg.fill ins(%zero : f32) outs(%d1e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %d1 = linalg.matmul ins(%p1, %wd1 : tensor<?x6xf32>, tensor<6x4xf32>) outs(%d1z : tensor<?x4xf32>) -> tensor<?x4xf32>
  %m1e = tensor.empty(%n) : tensor<?xf32>
  %m1z = linalg.fill ins(%zero : f32) outs(%m1e : tensor<?xf32>) -> tensor<?xf32>
  %m1 = linalg.generic {indexing_maps = [affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t, k)>, affine_map<(t, k) -> (t)>], iterator_types = ["parallel", "reduction"]}
      ins(%v, %i : tensor<?x1xf32>, tensor<?x1xi64>) outs(%m1z : tensor<?xf32>) {
  ^bb0(%a: f32, %b: i64, %o: f32):
    %id = arith.constant 1 : i64
    %is = arith.cmpi eq, %b, %id : i64
    %one = arith.uitofp %is : i1 to f32
    %w = arith.mulf %a, %one : f32
    %y = arith.addf %o, %w : f32
    linalg.yield %y : f32
  } -> tensor<?xf32>
  %b1 = linalg.broadcast ins(%m1 : tensor<?xf32>) outs(%e : tensor<?x4xf32>) dimensions = [1]
  %t1 = linalg.mul ins(%d1, %b1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %y1 = linalg.add ins(%y0, %t1 : tensor<?x4xf32>, tensor<?x4xf32>) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}
