// RUN: moe-opt %s --moec-lower-graph --canonicalize | FileCheck %s
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
