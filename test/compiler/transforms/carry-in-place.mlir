// RUN: moe-opt %s --lm-carry-in-place --split-input-file | FileCheck %s
// What a loop hands on is written into what it was given, and read before it is overwritten.

// CHECK-LABEL: func @graph
// CHECK:         scf.for {{.*}} iter_args(%[[A:.*]] = %{{.*}}, %[[B:.*]] = %{{.*}})
// CHECK-DAG:       %[[OLD_A:.*]] = bufferization.alloc_tensor() copy(%[[A]])
// CHECK-DAG:       %[[SUM:.*]] = linalg.add
// CHECK:           %[[NEW_A:.*]] = bufferization.materialize_in_destination %[[SUM]] in %[[A]]
// CHECK:           %[[NEW_B:.*]] = bufferization.materialize_in_destination %[[OLD_A]] in %[[B]]
// CHECK:           scf.yield %[[NEW_A]], %[[NEW_B]]
func.func @graph(%x: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %e = tensor.empty() : tensor<4xf32>
  %f:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %x) -> (tensor<4xf32>, tensor<4xf32>) {
    %s = linalg.add ins(%a, %b : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %s, %a : tensor<4xf32>, tensor<4xf32>
  }
  return %f#0 : tensor<4xf32>
}

// -----

// CHECK-LABEL: func @graph
// CHECK:         scf.while
// CHECK:         ^bb0(%[[A:.*]]: tensor<4xf32>):
// CHECK:           %[[NEW:.*]] = bufferization.materialize_in_destination %{{.*}} in %[[A]]
// CHECK:           scf.yield %[[NEW]]
func.func @graph(%x: tensor<4xf32>, %more: i1) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %f = scf.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    scf.condition(%more) %a : tensor<4xf32>
  } do {
  ^bb0(%a: tensor<4xf32>):
    %s = linalg.add ins(%a, %a : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    scf.yield %s : tensor<4xf32>
  }
  return %f : tensor<4xf32>
}
