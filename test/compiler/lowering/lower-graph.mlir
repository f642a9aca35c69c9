// RUN: moe-opt %s --moec-lower-graph --canonicalize --split-input-file | FileCheck %s
// Of a product of matrices the innermost loop is along columns of the result, and each sum is in the order of its depth.

// CHECK-LABEL: func @graph
// CHECK:         scf.for %[[M:.*]] =
// CHECK:           scf.for %[[K:.*]] =
// CHECK:             scf.for %[[N:.*]] =
// CHECK-DAG:           memref.load %{{.*}}[%[[M]], %[[K]]]
// CHECK-DAG:           memref.load %{{.*}}[%[[K]], %[[N]]]
// CHECK-DAG:           memref.load %{{.*}}[%[[M]], %[[N]]]
// CHECK:               memref.store %{{.*}}, %{{.*}}[%[[M]], %[[N]]]
func.func @graph(%a: memref<3x5xf32>, %b: memref<5x7xf32>, %c: memref<3x7xf32>) {
  linalg.matmul ins(%a, %b : memref<3x5xf32>, memref<5x7xf32>) outs(%c : memref<3x7xf32>)
  return
}

// -----

// A sum along adjacent elements is made in a register, of several sums if the CPU likes.
// CHECK-LABEL: func @graph
// CHECK:         scf.for %[[M:.*]] =
// CHECK:           %[[FIRST:.*]] = memref.load %{{.*}}[%[[M]]]
// CHECK:           %[[SUM:.*]] = scf.for %{{.*}} iter_args(%[[S:.*]] = %[[FIRST]]) -> (f32)
// CHECK-NEXT:        memref.load
// CHECK-NEXT:        arith.addf %[[S]], %{{.*}} fastmath<reassoc,contract>
// CHECK-NEXT:        scf.yield
// CHECK:           memref.store %[[SUM]], %{{.*}}[%[[M]]]
func.func @graph(%a: memref<3x5xf32>, %c: memref<3xf32>) {
  linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m)>], iterator_types = ["parallel", "reduction"]}
      ins(%a : memref<3x5xf32>) outs(%c : memref<3xf32>) {
  ^bb0(%x: f32, %sum: f32):
    %y = arith.addf %sum, %x : f32
    linalg.yield %y : f32
  }
  return
}
