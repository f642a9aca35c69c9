// RUN: moe-opt %s --moe-raise-experts --split-input-file | FileCheck %s
// Whatever computes a layer of experts becomes ops of moe.

// The weights of each pick are gathered; gate and up are halves of one tensor.
// CHECK:       lm.weight @[[GATE:.*]] : !lm.weight<3x6x4xf32> layers [] from [#lm.piece<pattern = "both", rows = 6, rows_per_expert = 12, stored = f32>]
// CHECK:       lm.weight @[[UP:.*]] : !lm.weight<3x6x4xf32> layers [] from [#lm.piece<pattern = "both", rows = 6, first_row = 6, rows_per_expert = 12, stored = f32>]
// CHECK:       lm.weight @[[DOWN:.*]] : !lm.weight<3x4x6xf32> layers [] from [#lm.piece<pattern = "down", rows = 4, rows_per_expert = 4, stored = f32>]
// CHECK-LABEL: func @gathered
// CHECK-SAME:    %[[X:.*]]: tensor<?x4xf32>, %[[S:.*]]: tensor<?x3xf32>
// CHECK-NOT:     linalg_ext.top_k
// CHECK:         %[[E:.*]]:2 = moe.route ins(%[[S]] : tensor<?x3xf32>)
// CHECK-DAG:     %[[G:.*]] = lm.load_weight @[[GATE]]
// CHECK-DAG:     %[[U:.*]] = lm.load_weight @[[UP]]
// CHECK-DAG:     %[[D:.*]] = lm.load_weight @[[DOWN]]
// CHECK:         moe.dispatch {{.*}} ins(%[[E]]#0
// CHECK:         %[[GX:.*]] = moe.grouped_matmul ins(%[[X]], %[[G]]
// CHECK:         %[[UX:.*]] = moe.grouped_matmul ins(%[[X]], %[[U]]
// CHECK:         moe.gated_activation silu {{.*}}%[[GX]]{{.*}}%[[UX]]
// CHECK:         moe.grouped_matmul {{.*}} %[[D]]
// CHECK:         %[[Y:.*]] = moe.combine ins(%{{.*}}, %[[E]]#1
// CHECK:         return %[[Y]]
lm.tensor @both : tensor<3x12x4xf32> from "both"
lm.tensor @down : tensor<3x4x6xf32> from "down"
func.func @gathered(%x: tensor<?x4xf32>, %s: tensor<?x3xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %m = arith.muli %n, %c2 : index
  %ev = tensor.empty(%n) : tensor<?x2xf32>
  %ei = tensor.empty(%n) : tensor<?x2xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x3xf32>) outs(%ev, %ei : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %w1 = lm.load_tensor @both : tensor<3x12x4xf32>
  %w2 = lm.load_tensor @down : tensor<3x4x6xf32>
  %flat = tensor.collapse_shape %i [[0, 1]] : tensor<?x2xi64> into tensor<?xi64>
  %e0 = tensor.empty(%m) : tensor<?x12x4xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(p, r, c) -> (p, r, c)>], iterator_types = ["parallel", "parallel", "parallel"]}
      outs(%e0 : tensor<?x12x4xf32>) {
  ^bb0(%o: f32):
    %p = linalg.index 0 : index
    %r = linalg.index 1 : index
    %c = linalg.index 2 : index
    %id = tensor.extract %flat[%p] : tensor<?xi64>
    %at = arith.index_cast %id : i64 to index
    %e = tensor.extract %w1[%at, %r, %c] : tensor<3x12x4xf32>
    linalg.yield %e : f32
  } -> tensor<?x12x4xf32>
  %e1 = tensor.empty(%m) : tensor<?x4x6xf32>
  %d = linalg.generic {indexing_maps = [affine_map<(p, r, c) -> (p, r, c)>], iterator_types = ["parallel", "parallel", "parallel"]}
      outs(%e1 : tensor<?x4x6xf32>) {
  ^bb0(%o: f32):
    %p = linalg.index 0 : index
    %r = linalg.index 1 : index
    %c = linalg.index 2 : index
    %id = tensor.extract %flat[%p] : tensor<?xi64>
    %at = arith.index_cast %id : i64 to index
    %e = tensor.extract %w2[%at, %r, %c] : tensor<3x4x6xf32>
    linalg.yield %e : f32
  } -> tensor<?x4x6xf32>
  %e2 = tensor.empty(%n) : tensor<?x2x4xf32>
  %xs = linalg.broadcast ins(%x : tensor<?x4xf32>) outs(%e2 : tensor<?x2x4xf32>) dimensions = [1]
  %rows = tensor.collapse_shape %xs [[0, 1], [2]] : tensor<?x2x4xf32> into tensor<?x4xf32>
  %e3 = tensor.empty(%m) : tensor<?x12xf32>
  %z3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x12xf32>) -> tensor<?x12xf32>
  %h = linalg.batch_matvec ins(%g, %rows : tensor<?x12x4xf32>, tensor<?x4xf32>) outs(%z3 : tensor<?x12xf32>) -> tensor<?x12xf32>
  %gate = tensor.extract_slice %h[0, 0] [%m, 6] [1, 1] : tensor<?x12xf32> to tensor<?x6xf32>
  %up = tensor.extract_slice %h[0, 6] [%m, 6] [1, 1] : tensor<?x12xf32> to tensor<?x6xf32>
  %e4 = tensor.empty(%m) : tensor<?x6xf32>
  %a = linalg.generic {indexing_maps = [affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p, c)>, affine_map<(p, c) -> (p, c)>], iterator_types = ["parallel", "parallel"]}
      ins(%gate, %up : tensor<?x6xf32>, tensor<?x6xf32>) outs(%e4 : tensor<?x6xf32>) {
  ^bb0(%b: f32, %u: f32, %o: f32):
    %q = arith.negf %b : f32
    %p = math.exp %q : f32
    %t = arith.addf %p, %one : f32
    %k = arith.divf %b, %t : f32
    %y = arith.mulf %k, %u : f32
    linalg.yield %y : f32
  } -> tensor<?x6xf32>
  %e5 = tensor.empty(%m) : tensor<?x4xf32>
  %z5 = linalg.fill ins(%zero : f32) outs(%e5 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %o = linalg.batch_matvec ins(%d, %a : tensor<?x4x6xf32>, tensor<?x6xf32>) outs(%z5 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %each = tensor.expand_shape %o [[0, 1], [2]] output_shape [%n, 2, 4] : tensor<?x4xf32> into tensor<?x2x4xf32>
  %vb = linalg.broadcast ins(%v : tensor<?x2xf32>) outs(%e2 : tensor<?x2x4xf32>) dimensions = [2]
  %weighed = linalg.mul ins(%each, %vb : tensor<?x2x4xf32>, tensor<?x2x4xf32>) outs(%e2 : tensor<?x2x4xf32>) -> tensor<?x2x4xf32>
  %e6 = tensor.empty(%n) : tensor<?x4xf32>
  %z6 = linalg.fill ins(%zero : f32) outs(%e6 : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = linalg.reduce ins(%weighed : tensor<?x2x4xf32>) outs(%z6 : tensor<?x4xf32>) dimensions = [1]
      (%b: f32, %acc: f32) {
        %y = arith.addf %b, %acc : f32
        linalg.yield %y : f32
      }
  return %sum : tensor<?x4xf32>
}

// -----

// Every expert works on every token, and its result is masked; what the experts' sum is added to
// stays. Experts have no gate here, and a tensor each, of whose columns the weight is made.
// CHECK:       lm.weight @[[UP:.*]] : !lm.weight<2x6x4xf32> layers [] from [#lm.piece<pattern = "u0", {{.*}}transposed = true, experts = 1, stored = f32>, #lm.piece<pattern = "u1", {{.*}}first_expert = 1, experts = 1, stored = f32>]
// CHECK-LABEL: func @masked
// CHECK-SAME:    %[[X:.*]]: tensor<?x4xf32>, %[[S:.*]]: tensor<?x2xf32>)
// CHECK:         %[[SHARED:.*]] = linalg.exp
// CHECK:         %[[E:.*]]:2 = moe.route ins(%[[S]]
// CHECK:         lm.load_weight @[[UP]]
// CHECK-NOT:     linalg.matmul
// CHECK:         moe.grouped_matmul activation relu ins(%[[X]],
// CHECK:         %[[Y:.*]] = moe.combine ins(%{{.*}}, %[[E]]#1
// CHECK:         %[[A:.*]] = linalg.add ins(%[[SHARED]], %[[Y]]
// CHECK:         return %[[A]]
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @masked(%x: tensor<?x4xf32>, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
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

// The tokens are a part of a tensor.
// CHECK-LABEL: func @sliced
// CHECK:         %[[X:.*]] = tensor.extract_slice
// CHECK:         moe.grouped_matmul activation relu ins(%[[X]],
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @sliced(%big: tensor<?x8xf32>, %n: index, %s: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %x = tensor.extract_slice %big[0, 0] [%n, 4] [1, 1] : tensor<?x8xf32> to tensor<?x4xf32>
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

// The tokens of each expert are gathered, and its results added where they came from. A softmax
// before the choice, and a division by the sum of the chosen after it, are the router's.
// CHECK-LABEL: func @looped
// CHECK-SAME:    %[[X:.*]]: tensor<?x4xf32>, %[[S:.*]]: tensor<?x2xf32>
// CHECK-NOT:     linalg_ext
// CHECK:         %[[P:.*]] = moe.score softmax ins(%[[S]]
// CHECK:         %[[E:.*]]:2 = moe.route renormalize ins(%[[P]]
// CHECK:         moe.grouped_matmul activation relu ins(%[[X]],
// CHECK:         %[[Y:.*]] = moe.combine ins(%{{.*}}, %[[E]]#1
// CHECK:         return %[[Y]]
lm.tensor @u0 : tensor<4x6xf32> from "u0"
lm.tensor @d0 : tensor<6x4xf32> from "d0"
lm.tensor @u1 : tensor<4x6xf32> from "u1"
lm.tensor @d1 : tensor<6x4xf32> from "d1"
func.func @looped(%x: tensor<?x4xf32>, %l: tensor<?x2xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %er = tensor.empty(%n) : tensor<?xf32>
  %es = tensor.empty(%n) : tensor<?x2xf32>
  %least = arith.constant 0xFF800000 : f32
  %h0 = linalg.fill ins(%least : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %h1 = linalg.reduce { arith.maximumf } ins(%l : tensor<?x2xf32>) outs(%h0 : tensor<?xf32>) dimensions = [1]
  %h2 = linalg.broadcast ins(%h1 : tensor<?xf32>) outs(%es : tensor<?x2xf32>) dimensions = [1]
  %h3 = linalg.sub ins(%l, %h2 : tensor<?x2xf32>, tensor<?x2xf32>) outs(%es : tensor<?x2xf32>) -> tensor<?x2xf32>
  %h4 = linalg.exp ins(%h3 : tensor<?x2xf32>) outs(%es : tensor<?x2xf32>) -> tensor<?x2xf32>
  %h5 = linalg.fill ins(%zero : f32) outs(%er : tensor<?xf32>) -> tensor<?xf32>
  %h6 = linalg.reduce { arith.addf } ins(%h4 : tensor<?x2xf32>) outs(%h5 : tensor<?xf32>) dimensions = [1]
  %h7 = linalg.broadcast ins(%h6 : tensor<?xf32>) outs(%es : tensor<?x2xf32>) dimensions = [1]
  %s = linalg.div ins(%h4, %h7 : tensor<?x2xf32>, tensor<?x2xf32>) outs(%es : tensor<?x2xf32>) -> tensor<?x2xf32>
  %ev = tensor.empty(%n) : tensor<?x2xf32>
  %ei = tensor.empty(%n) : tensor<?x2xi64>
  %top, %i = linalg_ext.top_k ins(%s : tensor<?x2xf32>) outs(%ev, %ei : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %w0 = linalg.reduce { arith.addf } ins(%top : tensor<?x2xf32>) outs(%h5 : tensor<?xf32>) dimensions = [1]
  %w1 = linalg.broadcast ins(%w0 : tensor<?xf32>) outs(%es : tensor<?x2xf32>) dimensions = [1]
  %v = linalg.div ins(%top, %w1 : tensor<?x2xf32>, tensor<?x2xf32>) outs(%es : tensor<?x2xf32>) -> tensor<?x2xf32>
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
  %y1 = linalg_ext.scatter add ins(%a1, %t1 : tensor<?x1xi64>, tensor<?x4xf32>) outs(%y0 : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y1 : tensor<?x4xf32>
}

// -----

// All experts work on all tokens at once; the weights are scattered into a table of tokens by
// experts.
// CHECK-LABEL: func @batched
// CHECK-SAME:    %[[X:.*]]: tensor<?x4xf32>, %[[S:.*]]: tensor<?x3xf32>
// CHECK:         %[[E:.*]]:2 = moe.route ins(%[[S]]
// CHECK:         moe.grouped_matmul activation relu ins(%[[X]],
// CHECK:         %[[Y:.*]] = moe.combine ins(%{{.*}}, %[[E]]#1
// CHECK:         return %[[Y]]
lm.tensor @u : tensor<3x4x6xf32> from "u"
lm.tensor @d : tensor<3x6x4xf32> from "d"
func.func @batched(%x: tensor<?x4xf32>, %s: tensor<?x3xf32>) -> tensor<?x4xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x4xf32>
  %ev = tensor.empty(%n) : tensor<?x2xf32>
  %ei = tensor.empty(%n) : tensor<?x2xi64>
  %v, %i = linalg_ext.top_k ins(%s : tensor<?x3xf32>) outs(%ev, %ei : tensor<?x2xf32>, tensor<?x2xi64>) -> tensor<?x2xf32>, tensor<?x2xi64>
  %e = tensor.empty(%n) : tensor<?x4xf32>
  %wu = lm.load_tensor @u : tensor<3x4x6xf32>
  %wd = lm.load_tensor @d : tensor<3x6x4xf32>
  %e2 = tensor.empty(%n) : tensor<?x2x2xi64>
  %places = linalg.generic {indexing_maps = [affine_map<(t, k, d) -> (t, k)>, affine_map<(t, k, d) -> (t, k, d)>], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%i : tensor<?x2xi64>) outs(%e2 : tensor<?x2x2xi64>) {
  ^bb0(%a: i64, %o: i64):
    %t = linalg.index 0 : index
    %d = linalg.index 2 : index
    %row = arith.index_cast %t : index to i64
    %is = arith.cmpi eq, %d, %c0 : index
    %y = arith.select %is, %row, %a : i64
    linalg.yield %y : i64
  } -> tensor<?x2x2xi64>
  %at = tensor.collapse_shape %places [[0, 1], [2]] : tensor<?x2x2xi64> into tensor<?x2xi64>
  %flat = tensor.collapse_shape %v [[0, 1]] : tensor<?x2xf32> into tensor<?xf32>
  %e3 = tensor.empty(%n) : tensor<?x3xf32>
  %z3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %table = linalg_ext.scatter none ins(%at, %flat : tensor<?x2xi64>, tensor<?xf32>) outs(%z3 : tensor<?x3xf32>) -> tensor<?x3xf32>
  %e4 = tensor.empty(%n) : tensor<3x?x4xf32>
  %xs = linalg.broadcast ins(%x : tensor<?x4xf32>) outs(%e4 : tensor<3x?x4xf32>) dimensions = [0]
  %e5 = tensor.empty(%n) : tensor<3x?x6xf32>
  %z5 = linalg.fill ins(%zero : f32) outs(%e5 : tensor<3x?x6xf32>) -> tensor<3x?x6xf32>
  %u = linalg.batch_matmul ins(%xs, %wu : tensor<3x?x4xf32>, tensor<3x4x6xf32>) outs(%z5 : tensor<3x?x6xf32>) -> tensor<3x?x6xf32>
  %p = linalg.max ins(%u, %z5 : tensor<3x?x6xf32>, tensor<3x?x6xf32>) outs(%e5 : tensor<3x?x6xf32>) -> tensor<3x?x6xf32>
  %z4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %d = linalg.batch_matmul ins(%p, %wd : tensor<3x?x6xf32>, tensor<3x6x4xf32>) outs(%z4 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %e6 = tensor.empty(%n) : tensor<3x?xf32>
  %turned = linalg.transpose ins(%table : tensor<?x3xf32>) outs(%e6 : tensor<3x?xf32>) permutation = [1, 0]
  %b = linalg.broadcast ins(%turned : tensor<3x?xf32>) outs(%e4 : tensor<3x?x4xf32>) dimensions = [2]
  %weighed = linalg.mul ins(%d, %b : tensor<3x?x4xf32>, tensor<3x?x4xf32>) outs(%e4 : tensor<3x?x4xf32>) -> tensor<3x?x4xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<?x4xf32>) -> tensor<?x4xf32>
  %sum = linalg.reduce { arith.addf } ins(%weighed : tensor<3x?x4xf32>) outs(%none : tensor<?x4xf32>) dimensions = [0]
  return %sum : tensor<?x4xf32>
}
