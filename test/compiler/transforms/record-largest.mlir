// RUN: moe-opt %s --pass-pipeline='builtin.module(func.func(lm-record-largest))' | FileCheck %s
// What goes to the caller's logits is recorded; what goes elsewhere is not.
// CHECK-LABEL: func @step(
// CHECK-SAME:    %[[BATCH:[^:]*]]: !lm.batch, %[[L:[^:]*]]: tensor<?x341xf32>
// CHECK:         lm.record_largest 4 of each 512 of %[[BATCH]] ins(%[[L]] : tensor<?x341xf32>)
// CHECK-NOT:     lm.record_largest
func.func @step(%batch: !lm.batch, %l: tensor<?x341xf32>, %other: memref<?x341xf32>) {
  %logits = lm.logits %batch : memref<?x341xf32>
  bufferization.materialize_in_destination %l in restrict writable %logits : (tensor<?x341xf32>, memref<?x341xf32>) -> ()
  bufferization.materialize_in_destination %l in restrict writable %other : (tensor<?x341xf32>, memref<?x341xf32>) -> ()
  return
}
